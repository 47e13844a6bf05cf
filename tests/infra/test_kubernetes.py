import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from diagonal_infra import kubernetes
from diagonal_infra.errors import DiagonalError, UserError
from diagonal_infra.kubernetes import Overlay, follow, plan_overlay, submit
from diagonal_infra.profile import KubernetesSettings, Nodes, Profile
from diagonal_infra.shape import plan_shape
from diagonal_infra.work import Work

SETTINGS = KubernetesSettings(
    data_image="registry.example/data:1.2", train_image="registry.example/train:1.2"
)
RUN, DATASET = "s3://bucket/runs/b32", "s3://bucket/web"


def work(folder: Path, target: str, nodes: int = 3, **changes: object) -> Work:
    settings = dataclasses.replace(SETTINGS, **changes)
    profile = Profile(
        workdir=str(folder),
        gpu_nodes=Nodes(gpus=8, cpus=96),
        cpu_nodes=Nodes(cpus=16),
        kubernetes=settings,
    )
    place = {"train": ("--run", RUN), "shards": ("--dataset", DATASET)}.get(target, ("--x", RUN))
    return Work(
        target=target,
        stage=("web", *place, "--note", "a b"),
        profile=profile,
        shape=plan_shape(target, profile, nodes, None),
        resolved={place[0].removeprefix("--").replace("x", "output"): place[1]},
    )


def built(overlay: Overlay) -> dict[str, Any]:
    """What the cluster would be sent, by kind; what is for reading only is left out."""
    overlay.folder.mkdir(parents=True)
    (overlay.folder / "kustomization.yaml").write_text(overlay.kustomization)
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", overlay.folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def test_training_is_an_indexed_job_of_so_many_pods(tmp_path: Path) -> None:
    job = built(plan_overlay(work(tmp_path, "train")))["Job"]
    kubernetes_validate.validate(job, "1.37", strict=True)
    assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (3, 3)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/train:1.2"
    assert container["args"] == ["web", "--run", RUN, "--note", "a b"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert (variables["NODES"], variables["GPUS"]) == ("3", "8")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_shards_are_a_ray_job_with_workers_of_the_profiles_size(tmp_path: Path) -> None:
    spec = built(plan_overlay(work(tmp_path, "shards", components=("gke",))))["RayJob"]["spec"]
    said = "python -m diagonal_data.shards web --workers 48 --dataset s3://bucket/web --note 'a b'"
    assert spec["entrypoint"] == said
    group = spec["rayClusterSpec"]["workerGroupSpecs"][0]
    assert (group["maxReplicas"], group["rayStartParams"]["num-cpus"]) == (3, "16")
    (container,) = group["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/data:1.2"
    assert container["resources"]["requests"]["cpu"] == "16"


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        ("eval", {}, "--on kuberay runs train, shards, reshard; for eval use --on ray"),
        ("train", {"components": ("gek",)}, "names 'gek', which is not in"),
        ("train", {"train_image": "registry.example:5000/train"}, "has no tag"),
    ],
)
def test_what_would_not_run_is_refused(
    tmp_path: Path, target: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_overlay(work(tmp_path, target, **changes))


def test_results_that_would_go_with_the_pod_are_refused(tmp_path: Path) -> None:
    local = dataclasses.replace(work(tmp_path, "train"), resolved={"run": "out/run"})
    with pytest.raises(UserError, match="would be lost with its pod"):
        plan_overlay(local)


def test_a_profile_without_kubernetes_is_refused(tmp_path: Path) -> None:
    mine = work(tmp_path, "train")
    bare = dataclasses.replace(mine, profile=dataclasses.replace(mine.profile, kubernetes=None))
    with pytest.raises(UserError, match=r"needs the profile's \[kubernetes\]"):
        plan_overlay(bare)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of answers for a small kubectl: `get` takes them in turn; calls are noted."""
    folder = tmp_path / "kubectl"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >>{folder}/calls\n'
        'case "$*" in\n'
        f"*' get secret/'*) cat {folder}/secret ;;\n"
        f"*' get events '*) cat {folder}/events ;;\n"
        f"*' get '*) sed -n 1p {folder}/answers; sed -i 1d {folder}/answers ;;\n"
        f"*' logs '*) echo a line of the log; [ ! -e {folder}/events ] ;;\n"
        f"*' apply '*) [ ! -e {folder}/refuse ] || {{ echo forbidden >&2; exit 1; }} ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    (folder / "answers").touch()
    (folder / "secret").write_text("secret/x\n")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_a_job_is_handed_in_and_followed_through_a_new_pod(
    tmp_path: Path, kubectl: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    overlay = plan_overlay(work(tmp_path, "train", namespace="clip", context="lab"))
    (kubectl / "answers").write_text("\n\nSuspended\nSuccessCriteriaMet Complete\n")
    submit(overlay)
    assert follow(overlay, poll_seconds=0)
    assert capfd.readouterr().out.splitlines() == ["a line of the log"] * 2
    calls = (kubectl / "calls").read_text().splitlines()
    assert all(call.startswith("--context lab --namespace clip ") for call in calls)
    assert f"apply --kustomize {overlay.folder}" in calls[2]


def test_a_job_that_failed_is_not_finished(tmp_path: Path, kubectl: Path) -> None:
    overlay = plan_overlay(work(tmp_path, "shards"))
    (kubectl / "answers").write_text("RUNNING Running\nFAILED Complete\n")
    assert not follow(overlay, poll_seconds=0)


def test_a_job_that_is_there_already_is_not_handed_in_again(tmp_path: Path, kubectl: Path) -> None:
    overlay = plan_overlay(work(tmp_path, "train"))
    (kubectl / "answers").write_text("job.batch/diagonal-train\n")
    with pytest.raises(UserError, match=r"already has job\.batch/diagonal-train; end it with"):
        submit(overlay)
    assert "apply" not in (kubectl / "calls").read_text()


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        (
            "train",
            {},
            r"no secret diagonal-storage; pods would .*kubernetes\.pod_identity",
        ),
        ("shards", {"pod_identity": True}, "no secret diagonal-redis; make it with"),
    ],
)
def test_secrets_that_are_missing_are_named_before_pods_wait_for_them(
    tmp_path: Path, kubectl: Path, target: str, changes: dict[str, Any], message: str
) -> None:
    (kubectl / "secret").write_text("")
    with pytest.raises(UserError, match=message):
        submit(plan_overlay(work(tmp_path, target, **changes)))
    assert "apply" not in (kubectl / "calls").read_text()


def test_who_may_not_look_at_secrets_may_still_launch(tmp_path: Path, kubectl: Path) -> None:
    program = kubectl / "kubectl"
    said = "Error from server (Forbidden): secrets are forbidden"
    refusing = f"echo '{said}' >&2; exit 1"
    program.write_text(program.read_text().replace(f"cat {kubectl}/secret", refusing))
    submit(plan_overlay(work(tmp_path, "train")))
    assert "apply" in (kubectl / "calls").read_text()


def test_pods_with_an_identity_of_their_own_need_no_keys(tmp_path: Path, kubectl: Path) -> None:
    (kubectl / "secret").write_text("")
    submit(plan_overlay(work(tmp_path, "train", pod_identity=True)))
    assert "apply" in (kubectl / "calls").read_text()


def test_why_pods_wait_is_shown(
    tmp_path: Path, kubectl: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (kubectl / "events").write_text("diagonal-train-0 FailedScheduling 0/3 nodes are available\n")
    (kubectl / "answers").write_text("\nComplete\n")
    assert follow(plan_overlay(work(tmp_path, "train")), poll_seconds=0)
    assert "FailedScheduling 0/3 nodes are available" in caplog.text


def test_a_cluster_that_refuses_is_quoted(tmp_path: Path, kubectl: Path) -> None:
    (kubectl / "refuse").touch()
    with pytest.raises(DiagonalError, match=r"apply .*: forbidden"):
        submit(plan_overlay(work(tmp_path, "train")))


def test_a_machine_without_kubectl_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no kubectl"):
        submit(plan_overlay(work(tmp_path, "train")))


def test_every_stage_on_ray_has_a_kind() -> None:
    assert {"shards", "reshard", "train"} == set(kubernetes.KINDS)
