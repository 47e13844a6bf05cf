"""Stages on Kubernetes: infra/cluster/kuberay's manifests, with the user's numbers laid over them.

    plan_overlay ─► kustomization.yaml ─► kubectl create ─► its log, until the job is over

train            an Indexed Job, torchrun in each pod
shards, reshard  a RayJob with a cluster of its own
"""

import json
import logging
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.profile import KubernetesSettings
from diagonal_infra.stages import MODULES, RAY_FLAGS
from diagonal_infra.work import Work

MANIFESTS = Path(__file__).parents[1] / "cluster" / "kuberay"
POLL_SECONDS = 5.0
START_MINUTES = 2
"""How long a pod may take to start before warnings are shown; it is waited for all the same."""
SHOWN = 5
MAKING = {
    "diagonal-redis": "make it with 'kubectl create secret generic diagonal-redis "
    '--from-literal=password="$(openssl rand -hex 32)"\'',
    "diagonal-storage": "pods would have no keys for the store. Make it with 'kubectl create "
    "secret generic diagonal-storage --from-literal=AWS_ACCESS_KEY_ID=… "
    "--from-literal=AWS_SECRET_ACCESS_KEY=…', or set kubernetes.pod_identity in the profile",
}
KINDS = {
    "train": ("job.batch", "diagonal-train"),
    "shards": ("rayjob.ray.io", "diagonal-shards"),
    "reshard": ("rayjob.ray.io", "diagonal-shards"),
}
STATUS = {
    "job.batch": '{.status.conditions[?(@.status=="True")].type}',
    "rayjob.ray.io": "{.status.jobStatus} {.status.jobDeploymentStatus}",
}
GOOD, BAD = {"Complete", "SUCCEEDED"}, {"Failed", "FAILED", "STOPPED"}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is laid over the manifests, and what comes of it."""

    kind: str
    name: str
    kubectl: tuple[str, ...]
    """The command with context and namespace."""
    folder: Path
    kustomization: str
    secrets: tuple[str, ...]
    """What the namespace must hold."""


def plan_overlay(work: Work) -> Overlay:
    """The stage on so many pods.

    Raises:
        UserError: the stage does not run so, the profile says nothing of Kubernetes, or results
            would go with the pods.
    """
    settings, target, shape = work.profile.kubernetes, work.target, work.shape
    if settings is None:
        raise UserError("--on kuberay needs the profile's [kubernetes]")
    if target not in KINDS:
        raise UserError(f"--on kuberay runs {', '.join(KINDS)}; for {target} use --on ray")
    if target == "train" and not shape.gpus:
        raise UserError("--on kuberay trains on GPUs; the profile's gpu_nodes have none")
    if "://" not in work.results and "shared-folder" not in settings.components:
        raise UserError(f"{work.results} would be lost with its pod; give a URL: s3://bucket/…")
    kind, name = KINDS[target]
    folder = Path(work.workdir) / "out" / "kubernetes" / work.name
    context = ("--context", settings.context) if settings.context else ()
    patches = train_patches(work) if target == "train" else ray_patches(work)
    return Overlay(
        kind=kind,
        name=name,
        kubectl=("kubectl", *context, "--namespace", settings.namespace),
        folder=folder,
        kustomization=kustomization(settings, kind, patches, folder),
        secrets=tuple(secrets_for(work, settings, kind)),
    )


def secrets_for(work: Work, settings: KubernetesSettings, kind: str) -> Iterator[str]:
    """Names of the secrets without which pods would not start, or could not read and write."""
    if kind == "rayjob.ray.io":
        yield "diagonal-redis"
    if not settings.pod_identity and any("://" in word for word in (work.results, *work.stage)):
        yield "diagonal-storage"


def kustomization(
    settings: KubernetesSettings, kind: str, patches: Sequence[Mapping[str, Any]], folder: Path
) -> str:
    """The overlay's one file, in JSON, which YAML includes."""
    on_ray = kind != "job.batch"
    # The cluster becomes the job's own by the last component, with what those before made of it.
    components = [*settings.components, *(["shards"] if on_ray else [])]
    for each in components:
        if not (MANIFESTS / "components" / each).is_dir():
            raise UserError(f"kubernetes.components names {each!r}, which is not in {MANIFESTS}")
    images = {"diagonal-data": settings.data_image, "diagonal-train": settings.train_image}
    # Kustomize takes relative folders only.
    root = os.path.relpath(MANIFESTS, folder)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{root}/base/{'cluster' if on_ray else 'train'}"],
        "components": [f"{root}/components/{each}" for each in components],
        "images": [*map(_image, images, images.values()), {"name": "redis", "newTag": "7"}],
        "patches": [
            {
                "target": {"kind": "RayJob" if on_ray else "Job"},
                "patch": json.dumps(patches),
            }
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def train_patches(work: Work) -> list[dict[str, Any]]:
    """JSON patches of the Indexed Job: pods, GPUs and the stage's own words."""
    container, shape = "/spec/template/spec/containers/0", work.shape
    cpus, gpus = str(shape.cpus * shape.per_node), str(shape.per_node)
    return [
        _replace("/spec/parallelism", shape.nodes),
        _replace("/spec/completions", shape.nodes),
        _replace(f"{container}/args", list(work.stage)),
        _replace(f"{container}/env/0", {"name": "NODES", "value": str(shape.nodes)}),
        _replace(f"{container}/env/1", {"name": "GPUS", "value": gpus}),
        _replace(f"{container}/resources/requests/cpu", cpus),
        _replace(f"{container}/resources/limits/nvidia.com~1gpu", gpus),
    ]


def ray_patches(work: Work) -> list[dict[str, Any]]:
    """JSON patches of the RayJob: what is run, and at most how many workers of how many cores."""
    (recipe, *flags), shape = work.stage, work.shape
    own = [*RAY_FLAGS[work.target], "--workers", str(shape.processes)]
    words = ["python", "-m", MODULES[work.target], recipe, *own, *flags]
    group = "/spec/rayClusterSpec/workerGroupSpecs/0"
    requests = f"{group}/template/spec/containers/0/resources/requests"
    return [
        _replace("/spec/entrypoint", shlex.join(words)),
        _replace(f"{group}/maxReplicas", shape.nodes),
        _replace(f"{group}/rayStartParams/num-cpus", str(shape.cpus)),
        _replace(f"{requests}/cpu", str(shape.cpus)),
    ]


def submit(overlay: Overlay) -> None:
    """Write the overlay and hand it to the cluster.

    Raises:
        UserError: there is no kubectl, the namespace has such a job already or lacks a secret.
        DiagonalError: the cluster refuses the job, or does not answer.
    """
    if shutil.which("kubectl") is None:
        raise UserError("no kubectl on this machine")
    there = [*overlay.kubectl, "get", f"{overlay.kind}/{overlay.name}", "--output=name"]
    if _run([*there, "--ignore-not-found"]).strip():
        ending = shlex.join([*overlay.kubectl, "delete", f"{overlay.kind}/{overlay.name}"])
        raise UserError(
            f"the namespace already has {overlay.kind}/{overlay.name}; end it with '{ending}' or "
            "use another namespace"
        )
    for secret in overlay.secrets:
        if not _is_there(overlay, secret):
            raise UserError(f"the namespace has no secret {secret}; {MAKING[secret]}")
    storage.write_bytes(str(overlay.folder / "kustomization.yaml"), overlay.kustomization.encode())
    _run([*overlay.kubectl, "apply", "--kustomize", str(overlay.folder)])


def follow(overlay: Overlay, *, poll_seconds: float = POLL_SECONDS) -> bool:
    """Show logs until the job is over, of one pod after the other; whether it succeeded.

    Raises:
        UserError: kubectl cannot tell how the job stands.
    """
    logs = ["logs", f"job/{overlay.name}", "--follow", f"--pod-running-timeout={START_MINUTES}m"]
    path = f"--output=jsonpath={STATUS[overlay.kind]}"
    asked = [*overlay.kubectl, "get", f"{overlay.kind}/{overlay.name}", path]
    while not (state := set(_run(asked).split())) & (GOOD | BAD):
        if subprocess.run([*overlay.kubectl, *logs], check=False).returncode:
            # Mostly pods that wait: for a node, an image or a secret.
            logger.warning("no log yet; warnings of the namespace:\n%s", warnings(overlay))
        time.sleep(poll_seconds)
    logger.info("%s/%s %s", overlay.kind, overlay.name, " ".join(sorted(state)))
    return not state & BAD


def warnings(overlay: Overlay) -> str:
    """The last things that the cluster could not do, a line each."""
    columns = "OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message"
    words = ["events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"]
    said = _run([*overlay.kubectl, "get", *words, f"--output=custom-columns={columns}"])
    return "\n".join(said.splitlines()[-SHOWN:])


def _is_there(overlay: Overlay, secret: str) -> bool:
    """Whether the namespace has it, or may not be asked."""
    asked = ["get", f"secret/{secret}", "--output=name", "--ignore-not-found"]
    try:
        return bool(_run([*overlay.kubectl, *asked]).strip())
    except DiagonalError as error:
        if "(Forbidden)" not in str(error):
            raise
        return True


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DiagonalError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def _image(name: str, image: str) -> dict[str, str]:
    place, _, tag = image.rpartition(":")
    if not place or "/" in tag:
        raise UserError(f"the image {image!r} has no tag; name the one that was built")
    return {"name": name, "newName": place, "newTag": tag}
