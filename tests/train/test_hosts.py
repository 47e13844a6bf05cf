"""Training over two hosts under torchrun, one of which is cut off in mid-run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.network import Build, Host
from tests.slurm_cluster import wait_for

Read = Callable[[Path | str], list[dict[str, Any]]]
STEPS = 100
HANG_SECONDS = 8
WAIT_SECONDS = 400.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def stage_words(dataset: Path, run: Path) -> list[str]:
    places = ["--data", str(dataset), "--filter", "most", "--run", str(run)]
    size = ["--samples-seen", str(16 * STEPS), "--logging.no-tensorboard"]
    return ["diagonal_train", "tiny", *places, *size, "--recovery.hang-seconds", str(HANG_SECONDS)]


class Torchrun:
    """The same command on every host: a rank each, which meet at the first of them."""

    def __init__(self, meet_at: Host, nodes: str, stage: list[str], logs: Path) -> None:
        ranks = ["--nnodes", nodes, "--nproc-per-node", "1", "--max-restarts", "5"]
        ranks += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{meet_at.name}:29500"]
        # Seconds to wait for a second host where one is enough.
        ranks += ["--rdzv-id", "run", "--rdzv-conf", "last_call_timeout=15"]
        self._words = ["-m", "torch.distributed.run", *ranks, "-m", "--", *stage]
        self._logs = logs

    def on(self, host: Host) -> subprocess.Popen[bytes]:
        environment = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0"}
        return host.start([sys.executable, *self._words], self.log(host), environment)

    def log(self, host: Host) -> Path:
        return self._logs / f"{host.name}.log"


def steps_done(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def cut_off_in_mid_run(host: Host, run: Path, said: Path) -> None:
    """Behind a checkpoint and before the end."""
    wait_for(lambda: steps_done(run) > 30, said)
    host.cut_off()
    assert steps_done(run) < STEPS


def finish(agent: subprocess.Popen[bytes], run: Path, said: Path) -> dict[str, Any]:
    """Wait for the run to end by itself; its summary."""
    agent.wait(WAIT_SECONDS)
    # Not by the exit code: torchrun may fail behind the last step.
    assert (run / "summary.json").exists(), said.read_text()
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def whole(
    dataset: Path, tmp_path_factory: pytest.TempPathFactory, run_ranks: Callable[..., None]
) -> Path:
    """A run of two ranks to which nothing happened."""
    run = tmp_path_factory.mktemp("whole") / "run"
    run_ranks(["-m", *stage_words(dataset, run)], 2)
    return run


def test_a_host_that_is_replaced_costs_nothing(
    network: Build, dataset: Path, whole: Path, tmp_path: Path, read_metrics: Read
) -> None:
    first, far, spare = network("first", "far", "spare")
    run = tmp_path / "run"
    ranks = Torchrun(first, "2", stage_words(dataset, run), tmp_path)
    agent = ranks.on(first)
    ranks.on(far)
    cut_off_in_mid_run(far, run, ranks.log(first))
    ranks.on(spare)
    summary = finish(agent, run, ranks.log(first))
    assert summary["world_size"] == 2
    assert 0 < summary["started_at_step"] < STEPS
    disturbed, undisturbed = (
        [(line["step"], line["loss"]) for line in read_metrics(each)] for each in (run, whole)
    )
    assert len(undisturbed) == STEPS
    assert disturbed == undisturbed


def test_the_host_that_is_left_goes_on_alone(
    network: Build, dataset: Path, whole: Path, tmp_path: Path, read_metrics: Read
) -> None:
    first, far = network("first", "far")
    run = tmp_path / "run"
    ranks = Torchrun(first, "1:2", stage_words(dataset, run), tmp_path)
    agent = ranks.on(first)
    ranks.on(far)
    cut_off_in_mid_run(far, run, ranks.log(first))
    summary = finish(agent, run, ranks.log(first))
    assert summary["world_size"] == 1
    began = summary["started_at_step"]
    assert 0 < began < STEPS
    alone, together = ([line["loss"] for line in read_metrics(each)] for each in (run, whole))
    assert alone[:began] == together[:began]
    assert alone == pytest.approx(together, rel=1e-4)
    assert "ERROR diagonal_train.recovering.watchdog: hangs rank=" in ranks.log(first).read_text()
