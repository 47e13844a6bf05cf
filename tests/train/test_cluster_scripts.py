"""The scripts in the manifests of training, run as two nodes of a rank each on this machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "infra" / "cluster"
STEPS = 200
BASH = shutil.which("bash") or "bash"
Ports = Callable[[], int]
Metrics = Callable[[Path], list[dict[str, Any]]]
pytestmark = pytest.mark.slow


def kubernetes_script() -> str:
    job = yaml.safe_load((CLUSTER / "kuberay/base/train/job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container["command"][2].replace("diagonal-train-0.diagonal-train", "127.0.0.1")


def skypilot_script() -> str:
    return yaml.safe_load((CLUSTER / "sky/train.yaml").read_text())["run"]


class Nodes:
    """Two of them; each start runs the script on both."""

    def __init__(self, script: str, flags: list[str], free_port: Ports) -> None:
        self.script, self.recipe, self.flags, self._free_port = script, "tiny", flags, free_port
        self._metrics_port = str(free_port())

    def start(self, *numbers: int) -> list[subprocess.Popen[bytes]]:
        script = self.script.replace("29500", str(self._free_port())).replace(
            "9001", self._metrics_port
        )
        words = [BASH, "-c", script, "train", self.recipe, *self.flags]
        return [subprocess.Popen(words, env=self._environment(number)) for number in numbers]

    def _environment(self, number: int) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kubernetes = {"NODES": "2", "GPUS": "1", "JOB_COMPLETION_INDEX": str(number)}
        skypilot = {
            "SKYPILOT_NUM_NODES": "2",
            "SKYPILOT_NODE_RANK": str(number),
            "SKYPILOT_NUM_GPUS_PER_NODE": "1",
            "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.2",
            "RECIPE": self.recipe,
            "ARGS": " ".join(self.flags),
        }
        return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **kubernetes, **skypilot}


def codes(processes: list[subprocess.Popen[bytes]]) -> list[int]:
    return [process.wait(200) for process in processes]


def flags_for(dataset: Path, run: Path) -> list[str]:
    places = ["--data", str(dataset), "--filter", "most", "--run", str(run)]
    return [*places, "--samples-seen", str(16 * STEPS), "--logging.no-tensorboard"]


def test_a_job_whose_pod_is_preempted_goes_on_and_ends_well(
    dataset: Path, tmp_path: Path, free_port: Ports, read_metrics: Metrics
) -> None:
    run = tmp_path / "run"
    nodes = Nodes(kubernetes_script(), flags_for(dataset, run), free_port)
    first = nodes.start(0, 1)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not read_metrics(run):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first[1].send_signal(signal.SIGTERM)
    assert codes(first) == [1, 1]
    saved = read_metrics(run)[-1]["step"]
    assert 0 < saved < STEPS
    assert codes(nodes.start(0, 1)) == [0, 0]
    steps = [line["step"] for line in read_metrics(run)]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    # A pod that is started once more behind the end does not wait for the others.
    assert codes(nodes.start(1)) == [0]


def test_a_jobs_wrong_flag_is_the_exit_code_that_ends_the_job(
    dataset: Path, tmp_path: Path, free_port: Ports
) -> None:
    flags = [*flags_for(dataset, tmp_path / "run"), "--global-batch-sizes", "16"]
    assert codes(Nodes(kubernetes_script(), flags, free_port).start(0)) == [2]


def test_skypilots_nodes_train_one_run(
    dataset: Path, tmp_path: Path, free_port: Ports, read_metrics: Metrics
) -> None:
    flags = flags_for(dataset, tmp_path / "run")
    assert codes(Nodes(skypilot_script(), flags, free_port).start(0, 1)) == [0, 0]
    assert read_metrics(tmp_path / "run")[-1]["step"] == STEPS
