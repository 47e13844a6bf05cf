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
from collections.abc import Mapping, Sequence
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
START_MINUTES = 30
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
    )


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
        UserError: there is no kubectl, the namespace has such a job already, or the cluster
            refuses this one.
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
        subprocess.run([*overlay.kubectl, *logs], check=False)
        time.sleep(poll_seconds)
    logger.info("%s/%s %s", overlay.kind, overlay.name, " ".join(sorted(state)))
    return not state & BAD


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
