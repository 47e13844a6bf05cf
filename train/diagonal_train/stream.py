"""The streaming loader: tar shards to batches whose order is a pure function of (seed, position).

    from diagonal_train.stream import StreamConfig, dataloader

    config = StreamConfig(data="out/dataset", filter="basic", global_batch_size=256)
    for batch in dataloader(config, rank=0, world_size=1):
        batch.images, batch.tokens, batch.uids

    python -m diagonal_train.stream --data out/dataset --steps 200     # how fast it comes

`batches` gives what one worker of one rank reads, in this process; `dataloader` a rank's whole
batches, decoded by processes. The whole state of either is the number of samples seen, which can be
loaded with any number of ranks and workers that divides `config.lanes`. streaming/ has the parts.
"""

import hashlib
import importlib
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, cast

from torch.utils.data import DataLoader

from diagonal_infra.errors import DiagonalError, UserError
from diagonal_train.streaming.batch import Batch, RawBatch, concatenate
from diagonal_train.streaming.config import READING_FIELDS, StreamConfig, lanes_of
from diagonal_train.streaming.index import SampleIndex, open_index
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.order import OrderPlan, plan_order
from diagonal_train.streaming.teacher import teacher_width
from diagonal_train.streaming.tokenize import ClipTokenizer
from diagonal_train.streaming.worker import start_worker

__all__ = [
    "Batch",
    "RawBatch",
    "StreamConfig",
    "StreamLoader",
    "batches",
    "dataloader",
    "raw_batches",
]

As = Literal["batch", "dict", "tuple"]
GRACE_SECONDS = 60.0
"""Decoding and sending of a batch, beyond the deadline of its reads."""


def open_stream(config: StreamConfig) -> tuple[SampleIndex, OrderPlan]:
    """Which samples there are and in which order they come.

    Raises:
        UserError: the data cannot be used.
    """
    index = open_index(
        config.data, config.filter, cache=config.index_cache, captions=config.captions
    )
    plan = plan_order(
        index,
        lanes=config.lanes,
        window=config.window,
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        weights=config.weights,
        replacement=config.replacement,
    )
    return index, plan


def batches(
    config: StreamConfig,
    rank: int = 0,
    world_size: int = 1,
    worker: int = 0,
    workers: int = 1,
    samples_seen: int = 0,
) -> Generator[Batch, None, None]:
    """One worker's parts of the global batches, read in this process, without end.

    The parts of all workers of all ranks, in this order, are the global batch; it is the same for
    every number of ranks and workers that divides the lanes.

    Args:
        config: the stream.
        rank: of `world_size` ranks.
        world_size: how many there are.
        worker: of `workers` in the rank; at least 1.
        workers: how many there are.
        samples_seen: where to begin: samples that all ranks together have had.

    Raises:
        UserError: the data cannot be used, or the numbers do not fit together.
        DiagonalError: storage does not answer, or too many samples cannot be used.
    """
    stream = _stream(config, rank * workers + worker, world_size * workers, samples_seen)
    return cast("Generator[Batch, None, None]", stream.batches(stream.lanes))


def raw_batches(
    config: StreamConfig,
    rank: int = 0,
    world_size: int = 1,
    worker: int = 0,
    workers: int = 1,
    samples_seen: int = 0,
) -> Generator[RawBatch, None, None]:
    """As `batches`, with images and captions as they lie in the tars."""
    stream = _stream(config, rank * workers + worker, world_size * workers, samples_seen)
    return cast("Generator[RawBatch, None, None]", stream.raw_batches(stream.lanes))


def dataloader(
    config: StreamConfig,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int | None = None,
    samples_seen: int = 0,
    as_: As = "batch",
    as_floats: bool = False,
) -> "StreamLoader":
    """A rank's batches, for any train loop; `StreamLoader` says how it behaves.

    Args:
        config: the stream.
        rank: of `world_size` ranks.
        world_size: how many there are.
        num_workers: decoding processes; `config.num_workers` when None, 0 for this process.
        samples_seen: where to begin: samples that all ranks together have had.
        as_: `batch` gives `Batch`, `dict` {"image", "text", "uid"}, `tuple` (image, text).
        as_floats: normalise images here, for loops that do not do it on the device: CLIP's mean and
            deviation, float32, four times the bytes.

    Raises:
        UserError: the data cannot be used, or the numbers do not fit together.
    """
    workers = config.num_workers if num_workers is None else num_workers
    lanes_of(config.lanes, part=0, parts=world_size * max(1, workers), flag="--lanes")
    stream = _stream(config, rank, world_size, samples_seen)
    return StreamLoader(stream, workers, as_, as_floats=as_floats)


class StreamLoader:
    """An iterable of a rank's batches with `state_dict`, as torchdata's StatefulDataLoader has.

    Iterating gives the batches up to the end of the pass, `len()` of them from its beginning, and
    iterating again those of the next. The state is the number of samples seen by all ranks; it can
    be loaded with other numbers of ranks and workers.
    """

    def __init__(self, stream: LaneStream, num_workers: int, as_: As, *, as_floats: bool) -> None:
        self._stream = stream
        self._workers = num_workers
        self._as: As = as_
        self._as_floats = as_floats
        self._next_batch = stream.first_batch
        self.num_samples = stream.plan.num_samples
        self.num_batches = max(1, self.num_samples // stream.plan.global_batch_size)

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Any]:
        return self.take(self.num_batches - self._next_batch % self.num_batches)

    def take(self, count: int) -> Generator[Any, None, None]:
        """The next `count` batches, whatever passes they belong to."""
        first = self._next_batch
        stream = replace(self._stream, first_batch=first, last_batch=first + count)
        with closing(read_batches(stream, self._workers)) as parts:
            for batch in parts:
                self._next_batch += 1
                yield self._shaped(batch)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on behind the last batch that was given out."""
        seen = self._next_batch * self._stream.plan.global_batch_size
        return {"samples_seen": seen, "stream": self._stream_digest()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was taken; takes effect when it is iterated next.

        Raises:
            UserError: the state is of other data or another order.
        """
        if state["stream"] != self._stream_digest():
            raise UserError(
                "the loader's state was saved with other data, or another seed, batch size or "
                "order; use the configuration it was saved with, or begin anew"
            )
        self._next_batch = batch_at(state["samples_seen"], self._stream.plan)

    def _stream_digest(self) -> str:
        deciding = {
            name: value
            for name, value in sorted(vars(self._stream.config).items())
            if name not in READING_FIELDS | {"data"}
        }
        content = f"{self._stream.index.digest} {deciding}"
        return hashlib.sha256(content.encode()).hexdigest()

    def _shaped(self, batch: Batch) -> Any:
        if self._as_floats:
            batch = replace(batch, images=normalised(batch.images))
        if self._as == "batch":
            return batch
        if self._as == "tuple":
            return batch.images, batch.tokens
        return {"image": batch.images, "text": batch.tokens, "uid": batch.uids}


def read_batches(stream: LaneStream, num_workers: int) -> Generator[Batch, None, None]:
    """This rank's batches in order, decoded by so many processes; close it to end them.

    Raises:
        DiagonalError: storage does not answer, too many samples cannot be used, or a decoding
            process hangs or dies.
    """
    if num_workers == 0:
        yield from stream.batches(stream.lanes)
        return
    with warnings.catch_warnings():
        # More processes than cores are the user's choice, and right where they wait for storage.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = DataLoader(
            stream,
            batch_size=None,
            num_workers=num_workers,
            prefetch_factor=stream.config.prefetch,
            worker_init_fn=start_worker,
            timeout=stream.config.deadline_seconds + GRACE_SECONDS,
        )
        # Iterable data sets are drawn from the workers in turn: a batch is `num_workers` parts.
        parts = iter(loader)
    batch_index = stream.first_batch
    while stream.last_batch is None or batch_index < stream.last_batch:
        yield concatenate([_next_part(parts, batch_index, w) for w in range(num_workers)])
        batch_index += 1


def batch_at(samples_seen: int, plan: OrderPlan) -> int:
    """The batch that comes next.

    Raises:
        UserError: samples seen are no whole batches.
    """
    batch_index, rest = divmod(samples_seen, plan.global_batch_size)
    if rest or samples_seen < 0:
        raise UserError(
            f"samples_seen {samples_seen} is no multiple of the global batch size "
            f"{plan.global_batch_size}; give the number that the last run recorded"
        )
    return batch_index


def _next_part(parts: Iterator[Batch | DiagonalError], batch_index: int, worker: int) -> Batch:
    try:
        part = next(parts)
    except RuntimeError as error:
        # The loader's own: a worker was killed, or nothing came in time.
        raise DiagonalError(
            f"no part of batch {batch_index} from decoding process {worker}: {error}; if it was "
            "killed, memory may have run out: use fewer --num-workers or a smaller --prefetch"
        ) from error
    if isinstance(part, DiagonalError):
        raise part
    return part


def _stream(config: StreamConfig, part: int, parts: int, samples_seen: int) -> LaneStream:
    lanes = lanes_of(config.lanes, part=part, parts=parts, flag="--lanes")
    index, plan = open_stream(config)
    return LaneStream(
        index=index,
        plan=plan,
        tokenizer=ClipTokenizer(config.context_length),
        config=config,
        lanes=lanes,
        first_batch=batch_at(samples_seen, plan),
        last_batch=None,
        teacher_width=teacher_width(index, config),
    )


if __name__ == "__main__":
    # Under its own name, so that its classes are not there twice.
    importlib.import_module("diagonal_train.streaming.measure").run()
