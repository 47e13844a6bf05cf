"""Training with steps whose loss is made bad; alone it is a rank of such a run.

python trouble.py DATA RUN '{"26": "nan"}' FLAG…      step, counted from 1, to a factor of logits

Each rank writes the uids of its part of each batch to RUN/uids/step-N.of-WORLD.rank-R.json.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diagonal_infra.cli import parse_recipe
from diagonal_train import loop, step
from diagonal_train.distributed import from_environment
from diagonal_train.recipes import TRAIN
from diagonal_train.streaming.batch import Batch


class Scaled(nn.Module):
    """A replica whose logits come out larger, or not finite."""

    def __init__(self, replica: nn.Module, factor: float) -> None:
        super().__init__()
        self.replica, self.factor = replica, factor

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As the replica, the scale multiplied."""
        image, text, scale, *more = self.replica(*inputs)
        return image, text, scale * self.factor, *more


def troubled(factors: dict[int, float]) -> Callable[..., step.StepStats]:
    """`train_step` with trouble at the named steps."""

    def run(job: step.Job, batch: Batch, number: int, **options: Any) -> step.StepStats:
        if number + 1 in factors:
            replica = Scaled(job.replica, factors[number + 1])
            job = dataclasses.replace(job, replica=replica)
        return step.train_step(job, batch, number, **options)

    return run


def noted(train_step: Callable[..., step.StepStats], folder: Path) -> Callable[..., step.StepStats]:
    """`train_step` that writes down what it was given."""
    folder.mkdir(parents=True, exist_ok=True)

    def run(job: step.Job, batch: Batch, number: int, **options: Any) -> step.StepStats:
        world = job.world
        name = f"step-{number + 1}.of-{world.world_size}.rank-{world.rank}.json"
        (folder / name).write_text(json.dumps(batch.uids))
        return train_step(job, batch, number, **options)

    return run


if __name__ == "__main__":
    data, run, factors, *flags = sys.argv[1:]
    bad = troubled({int(n): float(f) for n, f in json.loads(factors).items()})
    loop.train_step = noted(bad, Path(run) / "uids")
    places = ["--data", data, "--filter", "most", "--run", run]
    config = parse_recipe(TRAIN, description="", args=["tiny", *places, *flags])
    result = loop.train(config, from_environment())
    sys.exit(0 if result.finished else 143)
