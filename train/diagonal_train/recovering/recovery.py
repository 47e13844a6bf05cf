"""What a run does about a bad step: pass its batch, go back behind a checkpoint, stop.

    loss or gradient not finite      the update is not applied, the batch is passed
    max_skips + 1 in a row, a spike  back to the newest checkpoint before the trouble; all batches
                                     from there to the trouble are passed, uncomputed
    max_rollbacks + 1 times          stop

    RUN/skipped/step-00000027.json   why step 27 was skipped, and the uids of its batch
    RUN/skipped/rollbacks.json       [[first step passed, last step passed], …]

A batch's number is its step's, whatever was passed, so the data order stays. What a step needs to
know of those before it is in `TrainState.meters` and so in each checkpoint: a run that is killed
meets the same trouble again and decides as before. All ranks decide alike, from agreed numbers.
"""

import json
import logging
import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diagonal_infra import storage
from diagonal_infra.errors import CheckpointError, DiagonalError
from diagonal_train import checkpoint
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, agreed, from_all, sum_over_ranks
from diagonal_train.recovering.spikes import Meters, add_to_history
from diagonal_train.step import Job, StepStats
from diagonal_train.streaming.batch import Batch

UIDS_IN_MESSAGE = 8
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """Go on behind `to_step`, pass all steps up to `last_step`."""

    to_step: int
    last_step: int


def review(job: Job, batch: Batch, stats: StepStats, step: int) -> Rollback | None:
    """Note how step `step`, counted from 1, went; what to do if it cannot go on from there.

    Raises:
        DiagonalError: the run has gone back often enough, or there is nothing to go back to.
    """
    meters, config = job.state.meters, job.config
    if not stats.skipped:
        meters["skips_in_row"] = 0
        if config.recovery.spike_sigma is not None:
            add_to_history(meters, loss=stats.loss, grad_norm=stats.grad_norm)
        return None
    spike = math.isfinite(stats.loss) and math.isfinite(stats.grad_norm)
    cause = "spike" if spike else "not_finite"
    uids = [uid for part in from_all(batch.uids) for uid in part]
    path = storage.join(config.run, "skipped", f"step-{step:08d}.json")
    said = f"loss {stats.loss}, gradient norm {stats.grad_norm}"
    if job.world.is_main:
        record = {"step": step, "cause": cause, "said": said, "uids": uids}
        storage.write_bytes(path, (json.dumps(record) + "\n").encode())
        logger.warning("no update step=%d cause=%s %s uids=%s", step, cause, said, path)
    skips = meters["skips_in_row"] = meters.get("skips_in_row", 0) + 1
    if not spike and skips <= config.recovery.max_skips:
        return None
    shown = f"uids {', '.join(uids[:UIDS_IN_MESSAGE])} … ({len(uids)} in {path})"
    trouble = f"{cause} at step {step}: {said}; {shown}"
    first = step - skips + 1
    # Which checkpoints there are must not depend on how fast one is written.
    job.saver.wait()
    return agreed(lambda: _plan(config, rollbacks_of(meters), first, step, trouble), job.world)


def is_passed(meters: Meters, step: int) -> bool:
    """Whether step `step`, counted from 1, was given up by going back."""
    return any(first <= step <= last for first, last in rollbacks_of(meters))


def pass_step(job: Job, *, stop: bool) -> StepStats:
    """What a step gives that is passed, uncomputed."""
    job.state.meters["skips_in_row"] = 0
    asked = sum_over_ranks(torch.tensor(float(stop), device=job.world.device))
    return StepStats(
        loss=math.nan,
        lr=0.0,
        grad_norm=math.nan,
        stop=asked.item() > 0,
        replaced=Counter(),
        skipped=True,
    )


def rollbacks_of(meters: Meters) -> list[list[int]]:
    """First and last step passed each time that the run went back."""
    return meters.get("rollbacks", [])


def go_back(config: TrainConfig, world: World, rollback: Rollback) -> None:
    """Make the run folder what it would be had the run passed the window; every rank calls it.

    A kill before the record is written leaves a run that meets the trouble again.
    """

    def write() -> None:
        windows = [*read_rollbacks(config.run), [rollback.to_step + 1, rollback.last_step]]
        checkpoint.delete_after(config.run, rollback.to_step)
        storage.write_bytes(_rollbacks_path(config.run), (json.dumps(windows) + "\n").encode())
        logger.warning("going back to step=%d, passing steps up to %d", *vars(rollback).values())

    agreed(write, world)


def read_rollbacks(run: str) -> list[list[int]]:
    """The windows passed so far, in order."""
    path = _rollbacks_path(run)
    return json.loads(storage.read_bytes(path)) if storage.exists(path) else []


def floating_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Copies of what a forward pass may change, as batch normalisation does."""
    return {name: b.clone() for name, b in model.named_buffers() if b.is_floating_point()}


@torch.no_grad()
def restore_buffers(model: nn.Module, kept: dict[str, Tensor]) -> None:
    """Put the copies back: the averages of a bad forward pass would never be finite again."""
    for name, buffer in model.named_buffers():
        if name in kept:
            buffer.copy_(kept[name])


def _plan(
    config: TrainConfig, passed: list[list[int]], first: int, last: int, trouble: str
) -> Rollback:
    """The checkpoint to go back to.

    Trouble right behind a window that was passed began before that window: weights must go.
    """
    if len(passed) >= config.recovery.max_rollbacks:
        raise DiagonalError(
            f"{trouble}; the run has gone back {len(passed)} times, as often as it may; look at "
            "these samples, raise --recovery.max-rollbacks or --recovery.max-skips to go on, or "
            "start a new --run with a lower --optimizer.lr or --optimizer.clip-grad-norm 1"
        )
    for begin, end in reversed(passed):
        if end == first - 1:
            first = begin
    kept = [s for s in checkpoint.steps(config.run) if 0 < s < first - 1]
    # Those of every so many steps first: all runs have them, whatever signals they were sent.
    regular = [s for s in kept if s % config.checkpoint.every_steps == 0]
    for step in [*reversed(regular), *reversed(kept)]:
        if _is_complete(config.run, step):
            return Rollback(to_step=step, last_step=last)
    raise DiagonalError(
        f"{trouble}; no checkpoint before step {first} is left to go back to; look at these "
        "samples, or start a new --run with a lower --optimizer.lr, longer "
        "--optimizer.warmup-steps, --optimizer.clip-grad-norm 1 or a smaller "
        "--checkpoint.every-steps"
    )


def _is_complete(run: str, step: int) -> bool:
    try:
        checkpoint.read(run, step)
    except CheckpointError:
        return False
    return True


def _rollbacks_path(run: str) -> str:
    return storage.join(run, "skipped", "rollbacks.json")
