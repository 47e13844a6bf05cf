"""Training that is killed at random instants, as many times as is said, and left unfinished.

python killed_runs.py DATA RUN STEPS KILLS FLAG…

Each start is a child forked from this process, which has imported all and started no thread: ten
starts cost little more than one.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from diagonal_infra.cli import parse_recipe
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.recipes import TRAIN

torch.set_num_threads(1)


def lines_of(path: Path) -> int:
    """Records of a metrics.jsonl so far."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def start(config: TrainConfig) -> int:
    """Train in a child; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if train(config, World()).finished else 2
        finally:
            os._exit(code)
    return child


def main(config: TrainConfig, steps: int, kills: int) -> None:
    """Kill it at instants spread over the run, wherever in a step or a save they fall."""
    rng, metrics = random.Random(kills), Path(config.run) / "metrics.jsonl"
    for number in range(kills):
        child = start(config)
        wanted = steps * number // (kills + 1) + rng.randrange(1, steps // (kills + 1))
        while lines_of(metrics) < wanted:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), f"start {number} ended by itself"
            time.sleep(0.001)
        time.sleep(rng.random() / 50)
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == -signal.SIGKILL, f"start {number} left with {code}"


if __name__ == "__main__":
    data, run, steps, kills, *flags = sys.argv[1:]
    places = ["--data", data, "--filter", "most", "--run", run]
    built = parse_recipe(TRAIN, description="", args=["tiny", *places, *flags])
    main(built, int(steps), int(kills))
