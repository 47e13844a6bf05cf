"""Saves that are killed before each single thing they do to the file system.

python dying_save.py FOLDER    prints how many there were

A child is forked for each instant, in a copy of a run that has step 1; its save of step 2 is killed
there. What is left must have step 1 or 2 whole, and take the save of step 2 when it is done again.
"""

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import torch
from torch import nn

from diagonal_train import checkpoint
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.state import TrainState

EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
torch.set_num_threads(1)


def small_state() -> TrainState:
    """A linear layer behind one optimizer step."""
    model = DualEncoder(nn.Linear(40, 30))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return TrainState(model=model, optimizer=optimizer)


def save(run: Path, state: TrainState, step: int) -> None:
    """A checkpoint."""
    world = World()
    checkpoint.save(str(run), world, state=state, step=step, samples_seen=step, data_digest="d")


def die_at(number: int, run: Path) -> None:
    """Have this process killed before the event of that number in a run folder."""
    seen = count()

    def look(event: str, arguments: tuple[object, ...]) -> None:
        inside = event in EVENTS and str(run) in str(arguments[0])
        if inside and next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def killed(run: Path, state: TrainState, number: int) -> bool:
    """Save step 2 in a process that dies; False if it has no event of that number."""
    child = os.fork()
    if child == 0:
        die_at(number, run)
        save(run, state, 2)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def main(folder: Path) -> None:
    """Kill at each instant."""
    state, whole = small_state(), folder / "whole"
    save(whole, state, 1)
    found: list[int] = []
    for number in count():
        run = folder / str(number)
        shutil.copytree(whole, run)
        if not killed(run, state, number):
            break
        newest = checkpoint.latest_complete(str(run))
        assert newest is not None, number
        found.append(newest.step)
        save(run, state, 2)
        assert checkpoint.find(str(run), None).step == 2
        names = sorted(path.name for path in (run / "checkpoints").iterdir())
        assert names == ["step-00000001", "step-00000002"], (number, names)
    # The rename is the instant from which on the new one counts.
    assert found == sorted(found), found
    assert {1} <= set(found) <= {1, 2}, found
    sys.stdout.write(f"{len(found)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
