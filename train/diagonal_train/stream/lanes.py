"""Global batches for one rank, read from shards by the workers that own its lanes.

    rank ── owns consecutive lanes ── its workers own consecutive lanes of these
    worker: positions ─► kept samples ─► tar ranges ─► decode, crop ─► part of a batch
    rank:   its workers' parts, one after the other ─► Batch

What a sample looks like depends on (seed, position) only. So batch b is the same for every number
of ranks and workers, and a stream that starts at batch b needs no other state than b.

Shape suffixes: B samples of this rank, C colours, H and W pixels, T tokens, K uniforms.
"""

import itertools
import logging
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from diagonal_infra.errors import DiagonalError
from diagonal_train.augment import NOISE_WIDTH
from diagonal_train.config import StreamConfig
from diagonal_train.stream.config import LoaderConfig
from diagonal_train.stream.index import SampleIndex
from diagonal_train.stream.order import (
    SAMPLE_KEY,
    OrderPlan,
    generator_for,
    lanes_of,
    positions_for_batch,
    samples_at,
)
from diagonal_train.stream.reader import BadSampleError, RangeReader, image_and_members
from diagonal_train.stream.tokenize import ClipTokenizer, Tokenizer
from diagonal_train.stream.transforms import CROP_UNIFORMS, DecodeError, train_pixels

CAUSES = ("read_failed", "tar_broken", "image_missing", "caption_missing", "decode_failed")
"""Why a sample is replaced: a closed set, counted in the metrics."""
NEIGHBOURS = 4
"""Samples tried in a row from a bad one on, before others are taken from anywhere."""
MAX_REPLACEMENTS = 64
"""Samples tried in place of one."""
MAX_REPLACED_SHARE = 0.5
"""Of all samples that a decoding process has read since it started."""
MIN_SAMPLES_FOR_SHARE = 4096
"""Fewer than these may by chance come from one bad shard."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This rank's samples of one global batch, in lane order."""

    images_BCHW: Tensor  # shape suffix
    """uint8, RGB, at the model's image size."""
    tokens_BT: Tensor  # shape suffix
    """int64."""
    uids: list[str]
    """Of the samples used, replacements included."""
    noise_BK: Tensor  # shape suffix
    """Uniforms in [0, 1) that decide each sample's augmentation, float32."""
    replaced: Counter[str] = field(default_factory=Counter)
    """Samples replaced in this batch, by the cause of each."""


@dataclass(frozen=True, kw_only=True)
class SampleStream(IterableDataset[Batch]):
    """Parts of the batches from `first_batch` to before `last_batch`.

    Iterated in a worker process, a part holds the lanes that this worker owns of `lanes`.
    """

    index: SampleIndex
    plan: OrderPlan
    tokenizer: ClipTokenizer | Tokenizer
    config: StreamConfig
    image_size: int
    lanes: range
    first_batch: int
    last_batch: int

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        lanes = self.lanes
        if worker is not None:
            lanes = lanes[slice_of(lanes_of(len(lanes), part=worker.id, parts=worker.num_workers))]
        reader = RangeReader(self.index.shard_paths)
        read, bad = 0, Counter[int]()
        for batch_index in range(self.first_batch, self.last_batch):
            part = self.read_part(reader, batch_index, lanes, bad)
            read += len(part.uids)
            self._check_share(read, bad)
            yield part

    def read_part(
        self, reader: RangeReader, batch_index: int, lanes: range, bad: Counter[int]
    ) -> Batch:
        """The samples that `lanes` give to a batch; replaced ones are counted in `bad` by shard."""
        positions = positions_for_batch(self.plan, batch_index, lanes)
        numbers = samples_at(self.plan, positions)
        replaced: Counter[str] = Counter()
        images, captions, uids, noise = [], [], [], []
        for position, number in zip(positions.tolist(), numbers.tolist(), strict=True):
            rng = generator_for(self.plan.seed, SAMPLE_KEY, position)
            noise.append(rng.random(NOISE_WIDTH, np.float32))
            pixels, caption, used, cause = self._read_sample(reader, number, rng)
            if cause is not None:
                replaced[cause] += 1
                self._note_bad(number, cause, bad)
            images.append(pixels)
            captions.append(caption)
            uids.append(self.index.uid(used))
        images_BHWC = torch.from_numpy(np.stack(images))
        return Batch(
            images_BCHW=images_BHWC.permute(0, 3, 1, 2).contiguous(),
            tokens_BT=self.tokenizer(captions),
            uids=uids,
            noise_BK=torch.from_numpy(np.stack(noise)),
            replaced=replaced,
        )

    def _read_sample(
        self, reader: RangeReader, number: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, str, int, str | None]:
        """Pixels, caption and number of a sample, or of one in its place and the cause why."""
        causes: list[str] = []
        config = LoaderConfig(crop_scale=self.config.crop_scale, crop_ratio=self.config.crop_ratio)
        candidates = replacements_for(number, len(self.index), rng)
        for used in itertools.islice(candidates, MAX_REPLACEMENTS):
            try:
                image, caption = read_pair(reader, self.index, used)
                pixels = np.empty((self.image_size, self.image_size, 3), np.uint8)
                train_pixels(image, pixels, rng.random(CROP_UNIFORMS).tolist(), config)
            except BadSampleError as error:
                causes.append(error.args[0])
            except DecodeError:
                causes.append("decode_failed")
            else:
                return pixels, caption, used, causes[0] if causes else None
        raise DiagonalError(
            f"{MAX_REPLACEMENTS} samples in a row cannot be used, from uid "
            f"{self.index.uid(number)} in {self._path(number)} on: {dict(Counter(causes))}; "
            "check or rebuild the shards"
        )

    def _note_bad(self, number: int, cause: str, bad: Counter[int]) -> None:
        shard = int(self.index.shard[number])
        if not bad[shard]:
            logger.warning("replacing samples shard=%s cause=%s", self._path(number), cause)
        bad[shard] += 1

    def _check_share(self, read: int, bad: Counter[int]) -> None:
        if read >= MIN_SAMPLES_FOR_SHARE and bad.total() > MAX_REPLACED_SHARE * read:
            shard, count = bad.most_common(1)[0]
            raise DiagonalError(
                f"{bad.total()} of {read} samples cannot be used, {count} of them in "
                f"{self.index.shard_paths[shard]}; check or rebuild the shards"
            )

    def _path(self, number: int) -> str:
        return self.index.shard_paths[self.index.shard[number]]


def replacements_for(number: int, size: int, rng: np.random.Generator) -> Iterator[int]:
    """A sample's number, those next to it, then any at random, without end.

    The neighbours of one bad sample are good; those in a lost shard are not, so that the place is
    left soon. It depends on the generator's state only, hence on (seed, position).
    """
    for step in range(NEIGHBOURS):
        yield (number + step) % size
    while True:
        yield int(rng.integers(size))


def read_pair(reader: RangeReader, index: SampleIndex, number: int) -> tuple[bytes, str]:
    """The encoded image and the caption of a kept sample.

    Raises:
        BadSampleError: with the cause.
    """
    length = int(index.length[number])
    try:
        content = reader.read(int(index.shard[number]), int(index.offset[number]), length)
    except OSError as error:
        raise BadSampleError("read_failed") from error
    if len(content) < length:
        raise BadSampleError("read_failed")
    image, members = image_and_members(content)
    if "txt" not in members:
        raise BadSampleError("caption_missing")
    return image, members["txt"].decode("utf-8", "replace")


def batches(stream: SampleStream) -> Generator[Batch, None, None]:
    """This rank's batches in order, decoded by `config.num_workers` processes; close it."""
    workers = stream.config.num_workers
    if workers == 0:
        yield from stream
        return
    lanes_of(len(stream.lanes), part=0, parts=workers)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=stream.config.prefetch,
        worker_init_fn=_start_worker,
    )
    # Iterable data sets are drawn from the workers in turn, so a batch is `workers` parts.
    parts = iter(loader)
    for _ in range(stream.first_batch, stream.last_batch):
        yield concatenate([next(parts) for _ in range(workers)])


def concatenate(parts: list[Batch]) -> Batch:
    """One batch out of parts with consecutive lanes."""
    return Batch(
        images_BCHW=torch.cat([part.images_BCHW for part in parts]),
        tokens_BT=torch.cat([part.tokens_BT for part in parts]),
        uids=[uid for part in parts for uid in part.uids],
        noise_BK=torch.cat([part.noise_BK for part in parts]),
        replaced=sum((part.replaced for part in parts), Counter()),
    )


def slice_of(span: range) -> slice:
    """The slice that takes the items numbered by `span`."""
    return slice(span.start, span.stop)


def _start_worker(worker: int) -> None:
    """Leave signals to the training process, which ends its workers after it has saved."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
