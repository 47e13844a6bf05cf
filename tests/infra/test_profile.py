from pathlib import Path

import pytest

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile, SlurmSettings, read_profile

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str) -> Profile:
    path = folder / "cluster.toml"
    path.write_text(text)
    return read_profile(str(path))


def test_a_profile_is_read_into_dataclasses(tmp_path: Path) -> None:
    text = """
        python = "/shared/python"
        setup = ["module load cuda"]
        environment = { NCCL_DEBUG = "WARN" }
        gpu_nodes = { gpus = 8, cpus = 96, most = 4 }
        slurm = { account = "clip", options = ["--exclusive"] }
    """
    assert read(tmp_path, text) == Profile(
        python="/shared/python",
        setup=("module load cuda",),
        environment={"NCCL_DEBUG": "WARN"},
        gpu_nodes=Nodes(gpus=8, cpus=96, most=4),
        slurm=SlurmSettings(account="clip", options=("--exclusive",)),
    )


def test_the_example_is_a_profile() -> None:
    assert read_profile(str(ROOT / "infra" / "profile.toml")).gpu_nodes is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pyhton = 'x'", "unknown key pyhton; did you mean python?"),
        ("[slurm]\ngpu_partion = 'x'", r"slurm.gpu_partion; did you mean slurm.gpu_partition\?"),
        ("account = 'x'", r"unknown key account; did you mean slurm.account\?"),
        (
            "[cpu_nodes]\nqqqq = 1",
            "cpu_nodes.qqqq; known are cpu_nodes.cpus, cpu_nodes.gpus, cpu_nodes",
        ),
        ("[gpu_nodes]\ngpus = 8", "gpu_nodes.cpus is missing"),
        ("[gpu_nodes]\ncpus = '8'", "gpu_nodes.cpus must be a whole number, got '8'"),
        ("[gpu_nodes]\ncpus = true", "gpu_nodes.cpus must be a whole number, got True"),
        ("gpu_nodes = 3", "gpu_nodes must be a section, got 3"),
        ("setup = 'module load'", "setup must be a list of texts"),
        ("[environment]\nA = 1", "environment.A must be a text, got 1"),
        ("[environment]\n'A B' = '1'", "'A B', no variable's name"),
        ("[gpu_nodes]\ncpus = 0", "gpu_nodes.cpus of a node must be at least 1"),
        ("[slurm]\ntime_limit = 'long'", "slurm.time_limit is D-HH:MM:SS, got 'long'"),
        ("[slurm]\noptions = ['exclusive']", "sbatch's long ones"),
        ("python = ", "not TOML"),
    ],
)
def test_what_is_wrong_with_a_profile_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


def test_a_missing_profile_says_where_to_find_one() -> None:
    with pytest.raises(UserError, match=r"copy infra/profile.toml"):
        read_profile("nowhere.toml")
