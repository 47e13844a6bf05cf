"""The train loop: `train(config, world)` is the same in one process, under torchrun and on Ray.

    open the index ─► find where to begin ─► build the model ─► for each global batch: train_step,
    and every so many steps a line of metrics and a checkpoint ─► summary.json

The state of a run is (weights, optimizer, samples_seen), and what a step computes depends on these
and the seed only. So 20 steps are 10 steps, a checkpoint, and 10 steps more, to the bit.
"""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn

from diagonal_infra import run_dir, storage
from diagonal_train import checkpoint
from diagonal_train.checkpointing.policy import CheckpointPolicy
from diagonal_train.config.compare import config_digest
from diagonal_train.config.train import TrainConfig
from diagonal_train.distill import with_teacher_scale
from diagonal_train.distributed import World, agreed, in_process_group, sum_over_ranks
from diagonal_train.encoders.fit_model import fit_model
from diagonal_train.encoders.fp8 import check_fp8
from diagonal_train.encoders.locking import lock
from diagonal_train.encoders.models import DualEncoder, build_model, build_tokenizer
from diagonal_train.encoders.precision import with_precision
from diagonal_train.encoders.schedule import follow_schedule
from diagonal_train.parallel import keep_apart, wrap
from diagonal_train.planning.preflight import check
from diagonal_train.recovering.rank_times import RankTimes
from diagonal_train.recovering.recovery import (
    Rollback,
    floating_buffers,
    go_back,
    is_passed,
    pass_step,
    read_rollbacks,
    restore_buffers,
    review,
)
from diagonal_train.recovering.signals import Requests, stop_on_signal
from diagonal_train.recovering.watchdog import PLACE, stage, watching
from diagonal_train.start import Start, check_run_folder, plan_start, summary_path
from diagonal_train.state import TrainState
from diagonal_train.step import Job, StepStats, train_step
from diagonal_train.stream import open_stream, read_batches
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.config import lanes_of
from diagonal_train.streaming.device import on_device
from diagonal_train.streaming.index import warn_of_stale_filters
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.teacher import teacher_width
from diagonal_train.updating.ema import start_average
from diagonal_train.updating.optimizer import build_optimizer
from diagonal_train.watching.metrics import cpu_seconds
from diagonal_train.watching.recorder import recording
from diagonal_train.watching.trackers import check_trackers

GROUP_GRACE_SECONDS = 60.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended; also RUN/summary.json. `finished` is False after a signal to stop."""

    run: str
    finished: bool
    steps: int
    samples_seen: int
    loss: float | None
    """Of the last step; None if nothing was left to do, or it was skipped."""
    parameters: int
    device: str
    world_size: int
    started_at_step: int
    wall_seconds: float
    """Of this process, not of those before it that a checkpoint goes back to."""
    cpu_seconds: float
    """Of all ranks and their decoding processes."""


def never() -> bool:
    """No notice comes."""
    return False


def train(
    config: TrainConfig, world: World, *, preempted: Callable[[], bool] = never
) -> TrainResult:
    """Train, or go on with, or find finished, the run that `config` describes.

    Every rank calls it with the same configuration. After SIGTERM or SIGUSR1 on any rank the step
    in hand is finished and saved and the result says `finished=False`. When `preempted`, which all
    ranks call behind each step, becomes true, the run is saved and goes on.

    Raises:
        UserError: data, run folder, ranks or configuration do not fit together.
        DiagonalError: too many steps gave no update, or too much of the data cannot be read.
    """
    # The watchdog speaks first: it knows more than a collective that timed out.
    patience = config.recovery.hang_seconds + GROUP_GRACE_SECONDS
    return in_process_group(
        world, lambda: _train(config, world, Requests(preempted)), timeout_seconds=patience
    )


def _train(config: TrainConfig, world: World, requests: Requests) -> TrainResult:
    began = time.perf_counter()
    while isinstance(result := _attempt(config, world, began, requests), Rollback):
        go_back(config, world, result)
    return result


def _attempt(
    config: TrainConfig, world: World, began: float, requests: Requests
) -> TrainResult | Rollback:
    """To the end, or to where the run must go back; nothing of it is left in memory."""
    job = set_up(config, world)
    if job.start.step < config.total_steps:
        if world.is_main:
            run_dir.write_config(config.run, job.config)
        return run_steps(job, began, requests)
    logger.info("nothing to do: run %s is finished at step %d", config.run, job.start.step)
    if agreed(lambda: storage.exists(summary_path(config.run)), world):
        return read_summary(config.run)
    return _result(job, began, steps=job.start.step, loss=None)


def read_summary(run: str) -> TrainResult:
    """The result of a finished run."""
    return TrainResult(**json.loads(storage.read_bytes(summary_path(run))))


def set_up(config: TrainConfig, world: World) -> Job:
    """Index, start, stream, model and optimizer, with the checkpoint's state in them if any."""
    readers = world.world_size * max(1, config.stream.num_workers)
    lanes_of(config.stream.lanes, part=0, parts=readers)
    agreed(lambda: check_run_folder(config.run), world)
    agreed(lambda: check_trackers(config.logging), world)
    index, plan = open_stream(config.stream_config)
    if world.is_main:
        warn_of_stale_filters(config.data, config.filter)
    width = agreed(lambda: teacher_width(index, config.stream_config), world)
    config = agreed(lambda: with_teacher_scale(with_precision(config, world.device)), world)
    start = agreed(lambda: plan_start(config, index.digest), world)
    stream = LaneStream(
        index=index,
        plan=plan,
        tokenizer=build_tokenizer(config.model),
        config=config.stream_config,
        lanes=lanes_of(config.stream.lanes, part=world.rank, parts=world.world_size),
        first_batch=start.step,
        last_batch=config.total_steps,
        teacher_width=width,
    )
    model, replica = _build(config, world, stream)
    state = TrainState(
        model=model,
        optimizer=build_optimizer(model, config.optimizer),
        averaged=start_average(model, config.ema_decay),
    )
    keep_apart(state.optimizer)
    if start.found is not None:
        checkpoint.load(start.found, state)
    state.meters["rollbacks"] = agreed(lambda: read_rollbacks(config.run), world)
    if world.is_main:
        _log_start(config, world, len(index), plan.window, start)
    check(config, world, model=model, stream=stream, start=start)
    digests = {
        "data_digest": index.digest,
        "config_digest": config_digest(run_dir.resolved(config)),
    }
    return Job(
        config=config,
        world=world,
        start=start,
        stream=stream,
        data_digest=index.digest,
        state=state,
        replica=replica,
        saver=checkpoint.Saver(config.run, world, config.checkpoint, **digests),
    )


def _build(config: TrainConfig, world: World, stream: LaneStream) -> tuple[DualEncoder, nn.Module]:
    """The model with fresh weights, and what a step calls in its place."""
    if config.precision == "fp8":
        check_fp8(world.device)
    torch.manual_seed(config.seed)
    model = fit_model(build_model(config.model, config.loss), config).to(world.device).train()
    lock(model, config.lock)
    follow_schedule(model, stream.tokenizer, config.schedule)
    # Before the optimizer: sharding replaces the parameters.
    return model, wrap(model, world, config.parallel, precision=config.precision)


def run_steps(job: Job, began: float, requests: Requests) -> TrainResult | Rollback:
    """Every step from the start to the last, with metrics and checkpoints on the way."""
    config, world = job.config, job.world
    step, loss, rollback = job.start.step, math.nan, None
    policy, times, logged = CheckpointPolicy(config.checkpoint, world), RankTimes(world), step
    # Closing ends the decoding processes at once, also after an error.
    with (
        watching(config.run, world.rank, world.world_size, config.recovery),
        stop_on_signal(requests.stop),
        job.saver,
        recording(job, step) as recorder,
        closing(read_batches(job.stream, config.stream.num_workers)) as read,
        closing(on_device(read, world.device)) as stream,
    ):
        if step == 0:
            save(job, 0)
        last = False
        while not last and rollback is None:
            PLACE.step = step + 1
            with stage("data"), recorder.clock.waiting():
                batch = next(stream)
            recorder.before(step)
            with stage("step"):
                stats, rollback = take_step(job, batch, step, stop=requests.stop.is_set())
            step, loss = step + 1, stats.loss
            last = stats.stop or step == config.total_steps
            anyway = last or stats.skipped
            with stage("log"):
                more: dict[str, float] = {"skipped": int(stats.skipped)}
                if anyway or recorder.is_due(step):
                    more |= times.table(step - logged)
                    logged = step
                asked = requests.stop.is_set
                last |= recorder.after(
                    step, batch, stats, anyway=anyway, should_stop=asked, more=more
                )
            due = requests.save_now() | policy.due(step)
            if (due or last) and rollback is None:
                with stage("save"):
                    recorder.flush()
                    save(job, step)
    return rollback or _result(job, began, steps=step, loss=loss)


def take_step(
    job: Job, batch: Batch, step: int, *, stop: bool
) -> tuple[StepStats, Rollback | None]:
    """One step, or none if its batch is to be passed; and whether the run must go back."""
    if is_passed(job.state.meters, step + 1):
        return pass_step(job, stop=stop), None
    kept = floating_buffers(job.state.model)
    stats = train_step(job, batch, step, stop=stop)
    if stats.skipped:
        restore_buffers(job.state.model, kept)
    return stats, review(job, batch, stats, step + 1)


def save(job: Job, step: int) -> None:
    """A checkpoint behind `step` steps; every rank calls it."""
    job.saver.save(job.state, step=step, samples_seen=step * job.config.global_batch_size)


def _log_start(config: TrainConfig, world: World, samples: int, window: int, start: Start) -> None:
    logger.info(
        "train run=%s data=%s filter=%s kept_samples=%d window=%d passes=%.1f steps=%d "
        "from_step=%d ranks=%d device=%s optimizer=%s lr_schedule=%s",
        *(config.run, config.data, config.filter, samples, window),
        *(config.samples_seen / samples, config.total_steps, start.step),
        *(world.world_size, world.device.type, config.optimizer.kind, config.optimizer.schedule),
    )


def _result(job: Job, began: float, *, steps: int, loss: float | None) -> TrainResult:
    """How it went; kept in the run folder if it is the end."""
    used = torch.tensor(cpu_seconds(), dtype=torch.float64, device=job.world.device)
    result = TrainResult(
        run=job.config.run,
        finished=steps >= job.config.total_steps,
        steps=steps,
        samples_seen=steps * job.config.global_batch_size,
        loss=None if loss is None or math.isnan(loss) else loss,
        parameters=sum(p.numel() for p in job.state.model.parameters()),
        device=job.world.device.type,
        world_size=job.world.world_size,
        started_at_step=job.start.step,
        wall_seconds=time.perf_counter() - began,
        cpu_seconds=sum_over_ranks(used).item(),
    )
    if job.world.is_main and result.finished:
        record = run_dir.to_json(dataclasses.asdict(result))
        storage.write_bytes(summary_path(result.run), record)
    return result
