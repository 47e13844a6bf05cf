import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile, SlurmSettings
from diagonal_infra.shape import plan_shape
from diagonal_infra.slurm_script import plan_job
from diagonal_infra.work import Work

PROFILE = Profile(
    workdir="/shared/code",
    python="/shared/bin/python",
    setup=("module load cuda",),
    environment={"NOTE": "it's here"},
    gpu_nodes=Nodes(gpus=8, cpus=96, most=16),
    cpu_nodes=Nodes(cpus=64),
    slurm=SlurmSettings(gpu_partition="gpu", account="clip", options=("--nice=100",)),
)


def work(target: str, nodes: int = 1, *, place: str = "r/b32", flags: tuple[str, ...] = ()) -> Work:
    return Work(
        target=target,
        stage=("demo", *flags),
        profile=PROFILE,
        shape=plan_shape(target, PROFILE, nodes, None),
        resolved={"run" if target == "train" else "dataset": place, "name": "x"},
    )


def script_of(target: str, nodes: int = 1, *flags: str) -> str:
    return plan_job(work(target, nodes, flags=flags)).script


def options(script: str) -> list[str]:
    prefix = "#SBATCH "
    return [line[len(prefix) :] for line in script.splitlines() if line.startswith(prefix)]


def test_the_ranks_of_training_are_told_before_the_limit_and_requeued() -> None:
    script = script_of("train", 2, "--run", "runs/b 32")
    assert {"--nodes=2", "--ntasks-per-node=8", "--gres=gpu:8", "--cpus-per-task=12"} <= set(
        options(script)
    )
    assert {"--signal=USR1@120", "--requeue", "--open-mode=append"} <= set(options(script))
    assert {"--partition=gpu", "--account=clip", "--nice=100"} <= set(options(script))
    assert "/shared/bin/python -m diagonal_train demo --run 'runs/b 32' || code=$?" in script
    assert "-m diagonal_train.finished demo --run 'runs/b 32'; then exit 0" in script
    assert "module load cuda\n" in script


def test_a_ray_cluster_has_one_task_on_each_node_and_the_nodes_to_itself() -> None:
    script = script_of("shards", 2)
    assert {"--ntasks-per-node=1", "--signal=B:USR1@120", "--exclusive"} <= set(options(script))
    assert "symmetric-run" in script
    assert "-m diagonal_data.shards demo --workers 128 &" in script
    assert "RAY_health_check_period_ms" in script


AS_ARRAY = dataclasses.replace(PROFILE, slurm=dataclasses.replace(PROFILE.slurm, array=True))


@pytest.mark.parametrize(
    ("target", "profile"),
    [
        *((target, PROFILE) for target in ("train", "eval", "filters", "shards", "scores")),
        ("shards", AS_ARRAY),
    ],
    ids=["train", "eval", "filters", "shards", "scores", "array"],
)
def test_scripts_are_clean(target: str, profile: Profile, tmp_path: Path) -> None:
    script = tmp_path / f"{target}.sh"
    planned = work(target, 1, flags=("--note", "it's 5 > 3; rm *"))
    script.write_text(plan_job(dataclasses.replace(planned, profile=profile)).script)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, str(script)], check=True)


def test_a_folder_of_logs_with_blanks_is_refused() -> None:
    profile = dataclasses.replace(PROFILE, workdir="/a b")
    with pytest.raises(UserError, match="takes no blanks"):
        plan_job(dataclasses.replace(work("train"), profile=profile))
