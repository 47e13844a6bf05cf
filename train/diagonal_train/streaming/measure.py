"""Read a stream as training would and say how fast it comes: what to run when the GPU is idle.

    python -m diagonal_train.stream --data out/d --filter basic --global-batch-size 256 --steps 200
    python -m diagonal_train.stream --data '/x/{00000..00031}.tar' --global-batch-size 256

Prints samples per second, the share of time spent waiting for data, CPU time by stage, how well the
order is shuffled, and how many samples were replaced and why.
"""

import dataclasses
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Annotated

from rich.table import Table

from diagonal_infra import log, storage
from diagonal_infra.cli import also, run_command
from diagonal_infra.errors import require
from diagonal_train.stream import batch_at, dataloader, open_stream
from diagonal_train.streaming.batch import STAGES
from diagonal_train.streaming.config import StreamConfig
from diagonal_train.streaming.shuffle_quality import ShuffleQuality, shuffle_quality


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(StreamConfig):
    """Which stream to read, and for how long."""

    global_batch_size: int = 256
    """Samples of one step over all ranks."""
    num_workers: Annotated[int, also("--workers")] = 2
    """Decoding processes of this rank; 0 decodes in this process."""
    steps: int = 100
    """Batches to read."""
    step_seconds: float = 0.0
    """Pretend that a training step takes so long, to see whether the loader keeps up."""
    rank: int = 0
    """Which rank's batches to read, of `world_size`."""
    world_size: int = 1
    """Ranks that the stream is divided among."""
    samples_seen: int = 0
    """Where to begin, as after a resume."""
    print_uids: str | None = None
    """Write the uids to this file in stream order, one a line."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.steps >= 1, f"--steps must be at least 1, got {self.steps}")
        require(self.step_seconds >= 0, "--step-seconds must not be negative")
        require(0 <= self.rank < self.world_size, "--rank must be below --world-size")


@dataclass
class Measured:
    """What reading took."""

    first_batch_seconds: float = 0.0
    """From the call to the first batch."""
    seconds: float = 0.0
    """Behind the first batch."""
    waited: float = 0.0
    samples: int = 0
    cpu_seconds: float = 0.0
    """Of this process and its decoding processes, over the whole run."""
    stages: Counter[str] = dataclasses.field(default_factory=Counter)
    replaced: Counter[str] = dataclasses.field(default_factory=Counter)


def main(config: MeasureConfig) -> None:
    """Read so many batches, then print what it took."""
    with _uid_file(config.print_uids) as uids:
        measured = measure(config, uids)
    index, plan = open_stream(config)
    quality = shuffle_quality(plan, index, batch_at(config.samples_seen, plan))
    log.STDOUT.print(as_table(config, measured, quality))


def measure(config: MeasureConfig, uids: IO[bytes] | None = None) -> Measured:
    """Read `config.steps` batches; the first counts apart, as it waits for processes to start."""
    found, used = Measured(), _cpu_seconds()
    began = start = time.perf_counter()
    loader = dataloader(
        config, rank=config.rank, world_size=config.world_size, samples_seen=config.samples_seen
    )
    with log.progress() as progress, closing(loader.take(config.steps)) as batches:
        task = progress.add_task("read", total=config.steps)
        for step in range(config.steps):
            before = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - before
            if uids is not None:
                uids.write("".join(f"{uid}\n" for uid in batch.uids).encode())
            found.stages += batch.seconds
            found.replaced += batch.replaced
            if step == 0:
                found.first_batch_seconds = time.perf_counter() - began
                start = time.perf_counter()
            else:
                found.waited += waited
                found.samples += len(batch.uids)
            time.sleep(config.step_seconds)
            progress.update(task, advance=1)
        found.seconds = time.perf_counter() - start
    found.cpu_seconds = _cpu_seconds() - used
    return found


def as_table(config: MeasureConfig, found: Measured, quality: ShuffleQuality) -> Table:
    """For the terminal."""
    table = Table(title=f"{config.data}: {config.steps} batches", title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    per_rank = config.global_batch_size // config.world_size
    read = per_rank * config.steps
    pace = found.samples / max(found.seconds, 1e-9)
    table.add_row("seconds to the first batch", f"{found.first_batch_seconds:.2f}")
    table.add_row("samples per second behind it", f"{pace:,.0f}" if found.samples else "–")
    table.add_row("samples per CPU-second, start-up too", f"{read / found.cpu_seconds:,.0f}")
    share = found.waited / max(found.seconds, 1e-9)
    table.add_row("share of time spent waiting for data", f"{share:.1%}")
    for stage in STAGES:
        milliseconds = 1000 * found.stages[stage] / read
        table.add_row(f"CPU ms per sample: {stage}", f"{milliseconds:.3f}")
    table.add_row("samples replaced", f"{found.replaced.total():,} of {read:,}")
    for cause, count in found.replaced.most_common():
        table.add_row(f"replaced: {cause}", f"{count:,}")
    table.add_row("shards per batch", f"{quality.shards_per_batch:.1f}")
    table.add_row("the same if shuffled perfectly", f"{quality.shards_if_perfect:.1f}")
    table.add_row("correlation of neighbours in the stream", f"{quality.neighbours:+.3f}")
    return table


@contextmanager
def _uid_file(path: str | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    with storage.write_whole(path) as file:
        yield file


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run() -> None:
    """The command line of `python -m diagonal_train.stream`."""
    run_command(main, MeasureConfig, description=__doc__)
