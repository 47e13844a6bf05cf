"""Parts of global batches, read from shards by the workers that own its lanes.

    rank ── owns consecutive lanes ── its workers own consecutive lanes of these
    worker: positions ─► kept samples ─► tar ranges ─► decode, crop ─► part of a batch

What a sample looks like depends on (seed, position) only. So batch b is the same for every number
of ranks and workers, and a stream that starts at batch b needs no other state than b.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from diagonal_infra.errors import DiagonalError
from diagonal_train.streaming.batch import NOISE_WIDTH, Batch, RawBatch
from diagonal_train.streaming.config import StreamConfig, lanes_of
from diagonal_train.streaming.index import SampleIndex
from diagonal_train.streaming.order import (
    OrderPlan,
    positions_for_batch,
    samples_at,
    uniforms_at,
)
from diagonal_train.streaming.read_ahead import ReadAhead
from diagonal_train.streaming.reader import BadSampleError
from diagonal_train.streaming.samples import SampleSource
from diagonal_train.streaming.teacher import teacher_rows
from diagonal_train.streaming.tokenize import cut_captions
from diagonal_train.streaming.transforms import CROP_UNIFORMS, train_pixels

CROP = slice(NOISE_WIDTH, NOISE_WIDTH + CROP_UNIFORMS)
CAPTION = NOISE_WIDTH + CROP_UNIFORMS
"""A sample's uniforms: first those of its augmentation, then of its crop, then of its caption."""
WIDTH = CAPTION + 1


@dataclass(frozen=True, kw_only=True)
class LaneStream(IterableDataset[Batch | DiagonalError]):
    """Parts of the batches from `first_batch` to before `last_batch`; without end if it is None.

    Iterated in a worker process, a part holds the lanes that this worker owns of `lanes`. Trouble
    with a known cause is what comes last, in place of a batch, so that it keeps its message.
    """

    index: SampleIndex
    plan: OrderPlan
    tokenizer: Callable[[list[str]], Tensor]
    config: StreamConfig
    lanes: range
    first_batch: int
    last_batch: int | None
    teacher_width: int | None = None
    """Of `teacher_width`, if the configuration names a teacher."""

    def __iter__(self) -> Iterator[Batch | DiagonalError]:
        try:
            yield from self.batches(worker_lanes(self.lanes))
        except DiagonalError as error:
            yield error

    def batches(self, lanes: range) -> Iterator[Batch]:
        """The parts that `lanes` give.

        Raises:
            DiagonalError: storage does not answer, or too many samples cannot be used.
        """
        with closing(SampleSource(self.index, self.config, self.plan.seed)) as source:
            for clock, order in self._orders(source, lanes):
                yield self._batch(source, order, clock)

    def raw_batches(self, lanes: range) -> Iterator[RawBatch]:
        """As `batches`, with the images as they lie in the tars."""
        with closing(SampleSource(self.index, self.config, self.plan.seed)) as source:
            for _, order in self._orders(source, lanes):
                yield self._raw_batch(source, order)

    def _orders(
        self, source: SampleSource, lanes: range
    ) -> Iterator[tuple["StageClock", "_BatchOrder"]]:
        ahead = ReadAhead(source.reader, self.index, self.plan, lanes)
        batch_index = self.first_batch
        while self.last_batch is None or batch_index < self.last_batch:
            clock = StageClock()
            ahead.advance(batch_index)
            positions = positions_for_batch(self.plan, batch_index, lanes)
            numbers, windows = samples_at(self.plan, positions)
            uniforms = uniforms_at(self.plan.seed, positions, WIDTH)
            clock.stop("order")
            shards = self.index.shard[numbers]
            yield (
                clock,
                _BatchOrder(batch_index, ahead, positions, numbers, windows, shards, uniforms),
            )
            batch_index += 1

    def _batch(self, source: SampleSource, order: "_BatchOrder", clock: "StageClock") -> Batch:
        count, size = len(order.numbers), self.config.image_size_at(order.batch_index)
        images = empty_shared((count, size, size, 3), torch.uint8)
        pixels, width = images.numpy(), self.teacher_width
        teacher = None if width is None else empty_shared((count, 2, width), torch.float16)
        rows = None if teacher is None else teacher.numpy()
        captions, used = [], np.empty(count, np.int64)
        replaced: Counter[str] = Counter()
        for i, (number, span, position, uniforms) in enumerate(order.samples()):
            then = partial(
                self._decode_into, pixels[i], None if rows is None else rows[i], uniforms, clock
            )
            caption, used[i], cause = source.use(number, span, position, then)
            captions.append(caption)
            if cause is not None:
                replaced[cause] += 1
            clock.stop("decode")
        length = self.config.context_length_at(order.batch_index)
        tokens = cut_captions(self.tokenizer(captions), length)
        clock.stop("tokenize")
        return Batch(
            images=images.permute(0, 3, 1, 2),
            tokens=tokens,
            uids=self.index.uids(used),
            noise=torch.from_numpy(order.uniforms[:, :NOISE_WIDTH].astype(np.float32)),
            teacher=teacher,
            replaced=replaced,
            seconds=clock.seconds,
        )

    def _decode_into(
        self,
        out_HWC: np.ndarray,
        teacher_2E: np.ndarray | None,
        uniforms: list[float],
        clock: "StageClock",
        content: bytes,
        captions: list[str],
        members: dict[str, bytes],
    ) -> str:
        clock.stop("read")
        which = chosen(captions, uniforms)
        if teacher_2E is not None:
            assert self.config.teacher is not None
            rows = teacher_rows(members, self.config.teacher, len(captions))
            if rows.shape[1] != teacher_2E.shape[1]:
                raise BadSampleError("teacher_broken")
            teacher_2E[:] = rows[[0, 1 + which]]
        train_pixels(content, out_HWC, uniforms[CROP], self.config)
        return captions[which]

    def _raw_batch(self, source: SampleSource, order: "_BatchOrder") -> RawBatch:
        images, captions, used = [], [], np.empty(len(order.numbers), np.int64)
        replaced: Counter[str] = Counter()
        for i, (number, span, position, uniforms) in enumerate(order.samples()):
            pair, used[i], cause = source.use(number, span, position, _pair)
            images.append(pair[0])
            captions.append(pair[1][chosen(pair[1], uniforms)])
            if cause is not None:
                replaced[cause] += 1
        uids = self.index.uids(used)
        return RawBatch(images=images, captions=captions, uids=uids, replaced=replaced)


class StageClock:
    """CPU-seconds of this thread by stage, for one batch."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._since = time.thread_time()

    def stop(self, stage: str) -> None:
        """Count the time since the last stop as this stage's."""
        now = time.thread_time()
        self.seconds[stage] += now - self._since  # pyright: ignore[reportArgumentType]
        self._since = now


@dataclass(frozen=True, eq=False)
class _BatchOrder:
    """Which samples a part of a batch takes, and the numbers that decide how they look."""

    batch_index: int
    ahead: ReadAhead
    positions: np.ndarray
    numbers: np.ndarray
    windows: np.ndarray
    shards: np.ndarray
    uniforms: np.ndarray

    def samples(self) -> Iterator[tuple]:
        """Number, window, position and uniforms of each sample."""
        return zip(
            self.numbers.tolist(),
            map(self.ahead.span, self.windows.tolist(), self.shards.tolist()),
            self.positions.tolist(),
            self.uniforms.tolist(),
            strict=True,
        )


def chosen(captions: list[str], uniforms: list[float]) -> int:
    """Which of its captions a sample has this time."""
    return int(uniforms[CAPTION] * len(captions))


def empty_shared(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Room for numbers; in a worker process, where the training process can read it."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    # As torch's default_collate does it: otherwise the batch is copied once more when it is sent.
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)


def worker_lanes(lanes: range) -> range:
    """Those of a rank's lanes that this process reads."""
    worker = get_worker_info()
    if worker is None:
        return lanes
    own = lanes_of(len(lanes), part=worker.id, parts=worker.num_workers)
    return lanes[own.start : own.stop]


def _pair(
    content: bytes, captions: list[str], members: dict[str, bytes]
) -> tuple[bytes, list[str]]:
    del members
    return content, captions
