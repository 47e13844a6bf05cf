import pytest

from diagonal_train.distributed import first_host, from_environment, torchrun_names

SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "0",
}


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu03", "gpu03"),
        ("gpu[03-05,09],cpu1", "gpu03"),
        ("cpu1,gpu[03-05]", "cpu1"),
        ("rack[1,4]-node,other", "rack1-node"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


def test_srun_describes_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        # Set first, so that what from_environment adds is taken away again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    world = from_environment()
    assert (world.rank, world.world_size, world.local_rank) == (5, 8, 1)
    named = torchrun_names(SLURM)
    assert (named["MASTER_ADDR"], named["MASTER_PORT"]) == ("gpu03", "24567")
    # Within its own step, torchrun's ranks are torchrun's.
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (from_environment().rank, from_environment().world_size) == (2, 3)


def test_a_batch_script_is_one_process() -> None:
    assert torchrun_names({k: v for k, v in SLURM.items() if k != "SLURM_STEP_ID"}) == {}
