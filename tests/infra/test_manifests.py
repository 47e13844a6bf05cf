"""Every manifest is checked without a cluster, by its own schema and by what applies it."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from diagonal_infra import ray_cluster

CLUSTER = Path(__file__).parents[2] / "infra" / "cluster"
KUBERAY = CLUSTER / "kuberay"
KUBERNETES = "1.37"
KUSTOMIZATIONS = sorted(
    str(path.parent.relative_to(KUBERAY))
    for part in ("base", "overlays")
    for path in (KUBERAY / part).rglob("kustomization.yaml")
)
Document = dict[str, Any]
FREE = {"rayStartParams", "labels", "annotations", "matchLabels", "nodeSelector", "selector"}
FREE |= {"requests", "limits"}
"""What holds keys of anyone's choice."""
CLOUDS_OWN = {"available_node_types", "provider", "auth", "file_mounts"}
"""What Ray passes on to the cloud, and nodes by our own names."""
REFUSALS = (jsonschema.ValidationError, kubernetes_validate.ValidationError)
RAY_REFUSALS = (AssertionError, KeyError)
"""What Ray raises where its schema is not asked yet."""


def kustomized(folder: Path) -> list[Document]:
    """What `kubectl apply -k` would send."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def schema(part: str) -> Document:
    return json.loads((CLUSTER / part / "schema.json").read_text())


def read(path: str) -> Document:
    return yaml.safe_load((CLUSTER / path).read_text())


def named(documents: list[Document], kind: str) -> Document:
    return next(document for document in documents if document["kind"] == kind)


def groups(cluster: Document) -> list[Document]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def check(document: Document) -> None:
    """Whether the API servers of Kubernetes and of KubeRay would know every field."""
    if document["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    jsonschema.validate(document, schema("kuberay"))
    for group in groups(document["spec"].get("rayClusterSpec", document["spec"])):
        template = {"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]}
        kubernetes_validate.validate(template, KUBERNETES, strict=True)


def check_ray(config: Document) -> None:
    """What `ray up` does first."""
    validate_config(prepare_config(copy.deepcopy(config)))


def check_sky(task: Document) -> None:
    """Whether SkyPilot knows every key."""
    jsonschema.validate(task, schema("sky"))


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every key of a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(key, str):
            yield (*path, key)
        if isinstance(child, dict | list):
            yield from paths(child, (*path, key))


def misspelt(document: Document, path: tuple[Any, ...]) -> Document:
    document = copy.deepcopy(document)
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1] + "x"] = parent.pop(path[-1])
    return document


def is_refused(check: Callable[[Document], None], document: Document) -> bool:
    try:
        check(document)
    except (*REFUSALS, *RAY_REFUSALS):
        return True
    return False


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_kubernetes_would_take_every_document(folder: str) -> None:
    documents = kustomized(KUBERAY / folder)
    assert documents
    for document in documents:
        check(document)


@pytest.mark.parametrize(("folder", "kind"), [("shards-gke", "RayJob"), ("train-eks", "Job")])
def test_no_misspelt_field_passes(folder: str, kind: str) -> None:
    document = named(kustomized(KUBERAY / "overlays" / folder), kind)
    # One of each kind: the pods are alike.
    fields = {path[-2:]: path for path in paths(document) if not FREE & {*path[:-1]}}
    assert len(fields) > 40
    for path in fields.values():
        assert is_refused(check, misspelt(document, path)), path


def test_nodes_have_the_environment_of_drivers() -> None:
    cluster = kustomized(KUBERAY / "base" / "cluster")
    config = named(cluster, "ConfigMap")
    assert config["data"] == ray_cluster.ENVIRONMENT
    for group in groups(named(cluster, "RayCluster")["spec"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"configMapRef": {"name": config["metadata"]["name"]}} in container["envFrom"]
    for cloud in ("aws", "gcp"):
        options = read(f"ray/{cloud}.yaml")["docker"]["run_options"]
        given = dict(o.removeprefix("--env ").split("=") for o in options if o.startswith("--env "))
        assert given.items() >= {**ray_cluster.ENVIRONMENT, "RAY_AUTH_MODE": "token"}.items()
    given = read("sky/shards.yaml")["envs"]
    assert given.items() >= {**ray_cluster.ENVIRONMENT, "RAY_AUTH_MODE": "token"}.items()


def test_a_jobs_cluster_is_the_one_that_stays_on_spot_nodes() -> None:
    alone = named(kustomized(KUBERAY / "base" / "cluster"), "RayCluster")["spec"]
    documents = kustomized(KUBERAY / "overlays" / "shards-gke")
    assert "RayCluster" not in {document["kind"] for document in documents}
    inlined = named(documents, "RayJob")["spec"]["rayClusterSpec"]
    spot = inlined["workerGroupSpecs"][0]["template"]["spec"]
    assert spot.pop("nodeSelector") == {"cloud.google.com/gke-spot": "true"}
    assert spot.pop("tolerations")
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups(inlined)}
    assert images == {f"registry.example/diagonal-{name}:0.1.0" for name in ("data", "train")}
    for group in (*groups(alone), *groups(inlined)):
        group["template"]["spec"]["containers"][0]["image"] = ""
    assert inlined == alone


@pytest.mark.parametrize("folder", ["base/train", "overlays/train-eks"])
def test_every_node_of_a_training_knows_how_many_there_are(folder: str) -> None:
    job = named(kustomized(KUBERAY / folder), "Job")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    nodes = {variable["name"]: variable["value"] for variable in container["env"]}["NODES"]
    assert job["parallelism"] == job["completions"] == int(nodes)


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_ray_up_would_take_the_launchers_configuration(cloud: str) -> None:
    config = read(f"ray/{cloud}.yaml")
    check_ray(config)
    for path in paths(config):
        if not CLOUDS_OWN & {*path[:-1]}:
            assert is_refused(check_ray, misspelt(config, path)), path
    for name, group in config["available_node_types"].items():
        for key in group:
            path = ("available_node_types", name, key)
            assert is_refused(check_ray, misspelt(config, path)), path


def test_both_clouds_run_the_same_on_their_machines() -> None:
    aws, gcp = read("ray/aws.yaml"), read("ray/gcp.yaml")
    assert aws.keys() == gcp.keys()
    for key in aws.keys() - {"provider", "auth", "available_node_types"}:
        assert aws[key] == gcp[key], key
    assert aws["available_node_types"].keys() == gcp["available_node_types"].keys()


@pytest.mark.parametrize("stage", ["shards", "train"])
def test_skypilot_would_take_every_key_and_no_misspelt_one(stage: str) -> None:
    task = read(f"sky/{stage}.yaml")
    check_sky(task)
    for path in paths(task):
        if path[0] not in ("envs", "secrets") or len(path) == 1:
            assert is_refused(check_sky, misspelt(task, path)), path


def scripts() -> Iterator[str]:
    for stage in ("shards", "train"):
        yield read(f"sky/{stage}.yaml")["run"]
    job = named(kustomized(KUBERAY / "base" / "train"), "Job")
    yield job["spec"]["template"]["spec"]["containers"][0]["command"][2]


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    for script in scripts():
        command = [shellcheck, "--shell", "bash", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
