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
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch.nn.parallel import DistributedDataParallel

from diagonal_infra import run_dir, storage
from diagonal_train import checkpoint, preflight
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, agreed, in_process_group, sum_over_ranks
from diagonal_train.metrics import Clock, MetricsLog, NoMetrics, cpu_seconds, progress_bar
from diagonal_train.models import build_model, build_tokenizer
from diagonal_train.optimizer import build_optimizer
from diagonal_train.start import Start, check_run_folder, plan_start, summary_path
from diagonal_train.state import TrainState
from diagonal_train.step import Job, StepStats, train_step
from diagonal_train.stream import open_stream, read_batches
from diagonal_train.streaming.device import on_device
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.order import lanes_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended; also RUN/summary.json. `finished` is False after a SIGTERM."""

    run: str
    finished: bool
    steps: int
    samples_seen: int
    loss: float | None
    """Of the last step; None if nothing was left to do."""
    parameters: int
    device: str
    world_size: int
    started_at_step: int
    wall_seconds: float
    """Of this process, not of those before it that a checkpoint goes back to."""
    cpu_seconds: float
    """Of all ranks and their decoding processes."""


def train(config: TrainConfig, world: World) -> TrainResult:
    """Train, or go on with, or find finished, the run that `config` describes.

    Every rank calls it with the same configuration. After SIGTERM on any rank the step in hand is
    finished and saved and the result says `finished=False`.

    Raises:
        UserError: data, run folder, ranks or configuration do not fit together.
        DiagonalError: the loss is not finite, or too much of the data cannot be read.
    """
    return in_process_group(world, lambda: _train(config, world))


def _train(config: TrainConfig, world: World) -> TrainResult:
    began = time.perf_counter()
    job = set_up(config, world)
    if job.start.step >= config.total_steps:
        logger.info("nothing to do: run %s is finished at step %d", config.run, job.start.step)
        if agreed(lambda: storage.exists(summary_path(config.run)), world):
            return read_summary(config.run)
        result = _result(job, began, steps=job.start.step, loss=None)
    else:
        if world.is_main:
            run_dir.write_config(config.run, config)
        result = run_steps(job, began)
    if world.is_main and result.finished:
        record = run_dir.to_json(dataclasses.asdict(result))
        storage.write_bytes(summary_path(config.run), record)
    return result


def read_summary(run: str) -> TrainResult:
    """The result of a finished run."""
    return TrainResult(**json.loads(storage.read_bytes(summary_path(run))))


def set_up(config: TrainConfig, world: World) -> Job:
    """Index, start, stream, model and optimizer, with the checkpoint's state in them if any."""
    readers = world.world_size * max(1, config.stream.num_workers)
    lanes_of(config.stream.lanes, part=0, parts=readers)
    agreed(lambda: check_run_folder(config.run), world)
    index, plan = open_stream(config.stream_config)
    start = agreed(lambda: plan_start(config, index.digest), world)
    stream = LaneStream(
        index=index,
        plan=plan,
        tokenizer=build_tokenizer(config.model),
        config=config.stream_config,
        lanes=lanes_of(config.stream.lanes, part=world.rank, parts=world.world_size),
        first_batch=start.step,
        last_batch=config.total_steps,
    )
    torch.manual_seed(config.seed)
    model = build_model(config.model).to(world.device).train()
    state = TrainState(model=model, optimizer=build_optimizer(model, config.optimizer))
    if start.found is not None:
        checkpoint.load(start.found, state)
    replica = DistributedDataParallel(model) if world.world_size > 1 else model
    if world.is_main:
        _log_start(config, world, len(index), plan.window, start)
    preflight.check(config, world, model=model, stream=stream, start=start)
    return Job(
        config=config,
        world=world,
        start=start,
        stream=stream,
        data_digest=index.digest,
        state=state,
        replica=replica,
    )


def run_steps(job: Job, began: float) -> TrainResult:
    """Every step from the start to the last, with metrics and checkpoints on the way."""
    config, world = job.config, job.world
    step, loss = job.start.step, math.nan
    if step == 0:
        save(job, 0)
    metrics = MetricsLog(config.run, step) if world.is_main else NoMetrics()
    bar = progress_bar(show=world.is_main, total=config.total_steps, completed=step)
    replaced: Counter[str] = Counter()
    clock = Clock(since=time.perf_counter())
    try:
        # Closing ends the decoding processes, also after an error: left to the interpreter's exit
        # they would be waited for and never end, since they leave SIGTERM to this process.
        with (
            stop_on_sigterm() as stop,
            bar as show,
            closing(read_batches(job.stream, config.stream.num_workers)) as read,
            closing(on_device(read, world.device)) as stream,
        ):
            while step < config.total_steps:
                with clock.waiting():
                    batch = next(stream)
                stats = train_step(job, batch, step, stop=stop.is_set())
                step, loss = step + 1, stats.loss
                clock.samples += config.global_batch_size
                replaced += stats.replaced
                last = stats.stop or step == config.total_steps
                if step % config.log_every_steps == 0 or last:
                    metrics.write(_record(job, step, stats, replaced, clock))
                    replaced.clear()
                if step % config.checkpoint.every_steps == 0 or last:
                    save(job, step)
                show(step, loss)
                if stats.stop:
                    break
    finally:
        metrics.close()
    return _result(job, began, steps=step, loss=loss)


def save(job: Job, step: int) -> None:
    """A checkpoint behind `step` steps; every rank calls it."""
    checkpoint.save(
        job.config.run,
        job.world,
        state=job.state,
        step=step,
        samples_seen=step * job.config.global_batch_size,
        data_digest=job.data_digest,
    )
    if job.world.is_main:
        checkpoint.prune(job.config.run, job.config.checkpoint.keep, saved=step)


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets while the block runs; it stays unset outside the main thread."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


def _record(
    job: Job, step: int, stats: StepStats, replaced: Counter[str], clock: Clock
) -> dict[str, float]:
    return {
        "step": step,
        "samples_seen": step * job.config.global_batch_size,
        "loss": stats.loss,
        "lr": stats.lr,
        "logit_scale": job.state.model.logit_scale.exp().item(),
        "grad_norm": stats.grad_norm,
        **clock.rates(),
        "replaced": replaced.total(),
        **{f"replaced_{cause}": count for cause, count in sorted(replaced.items())},
    }


def _log_start(config: TrainConfig, world: World, samples: int, window: int, start: Start) -> None:
    logger.info(
        "train run=%s data=%s filter=%s kept_samples=%d window=%d passes=%.1f steps=%d "
        "from_step=%d ranks=%d device=%s",
        *(config.run, config.data, config.filter, samples, window),
        *(config.samples_seen / samples, config.total_steps, start.step),
        *(world.world_size, world.device.type),
    )


def _result(job: Job, began: float, *, steps: int, loss: float | None) -> TrainResult:
    used = torch.tensor(cpu_seconds(), dtype=torch.float64, device=job.world.device)
    return TrainResult(
        run=job.config.run,
        finished=steps >= job.config.total_steps,
        steps=steps,
        samples_seen=steps * job.config.global_batch_size,
        loss=loss,
        parameters=sum(p.numel() for p in job.state.model.parameters()),
        device=job.world.device.type,
        world_size=job.world.world_size,
        started_at_step=job.start.step,
        wall_seconds=time.perf_counter() - began,
        cpu_seconds=sum_over_ranks(used).item(),
    )
