import subprocess
import sys
from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile, SlurmSettings
from diagonal_infra.slurm_script import Job, Shape, plan_job, plan_shape

PROFILE = Profile(
    workdir="/shared/code",
    python="/shared/bin/python",
    setup=("module load cuda",),
    environment={"NOTE": "it's here"},
    gpu_nodes=Nodes(gpus=8, cpus=96, most=16),
    cpu_nodes=Nodes(cpus=64),
    slurm=SlurmSettings(gpu_partition="gpu", account="clip", options=("--nice=100",)),
)


def shape(target: str, nodes: int = 1, processes: int | None = None) -> Shape:
    return plan_shape(target, PROFILE, nodes, processes)


def job(
    target: str, nodes: int = 1, *, place: str = "runs/b32", flags: tuple[str, ...] = ()
) -> Job:
    resolved = {"run" if target == "train" else "dataset": place, "name": "x"}
    stage = ["demo", *flags]
    return plan_job(target, stage, PROFILE, shape(target, nodes), resolved=resolved)


def options(script: str) -> list[str]:
    prefix = "#SBATCH "
    return [line[len(prefix) :] for line in script.splitlines() if line.startswith(prefix)]


def test_training_has_a_rank_for_each_gpu() -> None:
    assert shape("train", 2) == Shape(nodes=2, per_node=8, cpus=12, gpus=8, on_ray=False)


def test_shards_have_a_worker_for_each_core_of_a_ray_cluster() -> None:
    assert shape("shards", 3) == Shape(nodes=3, per_node=64, cpus=64, gpus=0, on_ray=True)
    assert shape("scores", 3).processes == 24


def test_fewer_ranks_than_gpus_can_be_asked_for() -> None:
    assert shape("train", 2, 4).per_node == 2


@pytest.mark.parametrize(
    ("target", "nodes", "processes", "message"),
    [
        ("train", 1, 16, "--processes 16 need --nodes 2: the profile's gpu_nodes have gpus = 8"),
        ("train", 3, 16, "--processes 16 cannot be shared equally by --nodes 3"),
        ("train", 17, None, "--nodes 17 are more than the profile's gpu_nodes.most, 16"),
        ("shards", 1, 65, "need --nodes 2: the profile's cpu_nodes have cpus = 64"),
        ("filters", 2, None, "filters is one process"),
    ],
)
def test_what_the_nodes_cannot_hold_is_refused(
    target: str, nodes: int, processes: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        shape(target, nodes, processes)


def test_nodes_that_the_profile_does_not_describe_are_named() -> None:
    with pytest.raises(UserError, match=r"shards runs on the profile's \[cpu_nodes\]"):
        plan_shape("shards", Profile(gpu_nodes=Nodes(cpus=1)), 1, None)


def test_the_ranks_of_training_are_told_before_the_limit_and_requeued() -> None:
    script = job("train", 2, flags=("--run", "runs/b 32")).script
    assert {"--nodes=2", "--ntasks-per-node=8", "--gres=gpu:8", "--cpus-per-task=12"} <= set(
        options(script)
    )
    assert {"--signal=USR1@120", "--requeue", "--open-mode=append"} <= set(options(script))
    assert {"--partition=gpu", "--account=clip", "--nice=100"} <= set(options(script))
    assert "/shared/bin/python -m diagonal_train demo --run 'runs/b 32' || code=$?" in script
    assert "-m diagonal_train.finished demo --run 'runs/b 32'; then exit 0" in script
    assert "module load cuda\n" in script


def test_a_ray_cluster_has_one_task_on_each_node_and_the_nodes_to_itself() -> None:
    script = job("shards", 2).script
    assert {"--ntasks-per-node=1", "--signal=B:USR1@120", "--exclusive"} <= set(options(script))
    assert "symmetric-run" in script
    assert "-m diagonal_data.shards demo --workers 128 &" in script
    assert "RAY_health_check_period_ms" in script


@pytest.mark.parametrize("target", ["train", "eval", "filters", "shards", "scores"])
def test_scripts_are_clean(target: str, tmp_path: Path) -> None:
    script = tmp_path / f"{target}.sh"
    script.write_text(job(target, flags=("--note", "it's 5 > 3; rm *")).script)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, str(script)], check=True)


def test_a_name_belongs_to_stage_and_results() -> None:
    same = {job("train", nodes, place=place).name for nodes in (1, 2) for place in ("r/a", "r/./a")}
    assert len(same) == 1
    assert same.pop().startswith("train-a-")
    assert job("train", place="r/a").name != job("train", place="s/a").name
    assert job("train", place="s3://b/a").results == "s3://b/a"


def test_a_folder_of_logs_with_blanks_is_refused() -> None:
    profile = Profile(workdir="/a b", gpu_nodes=Nodes(cpus=1))
    one = plan_shape("train", profile, 1, None)
    with pytest.raises(UserError, match="takes no blanks"):
        plan_job("train", ["demo"], profile, one, resolved={"run": "r"})
