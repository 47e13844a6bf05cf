"""Global batches for one rank, read from shards by the workers that own its lanes.

    rank ── owns consecutive lanes ── its workers own consecutive lanes of these
    worker: positions ─► kept samples ─► tar ranges ─► decode, crop ─► part of a batch
    rank:   its workers' parts, one after the other ─► Batch

What a sample looks like depends on (seed, position) only. So batch b is the same for every number
of ranks and workers, and a stream that starts at batch b needs no other state than b.

Shape suffixes: B samples of this rank, C colours, H and W pixels, T tokens, K uniforms.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from diagonal_data import tar
from diagonal_infra.errors import DiagonalError
from diagonal_train.augment import NOISE_WIDTH
from diagonal_train.config import StreamConfig
from diagonal_train.index import SampleIndex
from diagonal_train.order import (
    SAMPLE_KEY,
    OrderPlan,
    generator_for,
    lanes_of,
    positions_for_batch,
    samples_at,
)
from diagonal_train.reader import RangeReader
from diagonal_train.tokenize import Tokenizer
from diagonal_train.transforms import DecodeError, random_crop

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
CAUSES = ("read_failed", "tar_broken", "image_missing", "caption_missing", "decode_failed")
"""Why a sample is replaced: a closed set, counted in the metrics."""
MAX_REPLACEMENTS = 64


class BadSampleError(Exception):
    """A sample that cannot be used; its argument is one of `CAUSES`. Never leaves this module."""


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
    """Samples replaced in this batch, by cause."""


@dataclass(frozen=True, kw_only=True)
class SampleStream(IterableDataset[Batch]):
    """Parts of the batches from `first_batch` to before `last_batch`.

    Iterated in a worker process, a part holds the lanes that this worker owns of `lanes`.
    """

    index: SampleIndex
    plan: OrderPlan
    tokenizer: Tokenizer
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
        for batch_index in range(self.first_batch, self.last_batch):
            yield self.read_part(reader, batch_index, lanes)

    def read_part(self, reader: RangeReader, batch_index: int, lanes: range) -> Batch:
        """The samples that `lanes` give to a batch."""
        positions = positions_for_batch(self.plan, batch_index, lanes)
        numbers = samples_at(self.plan, positions)
        replaced: Counter[str] = Counter()
        images, captions, uids, noise = [], [], [], []
        for position, number in zip(positions.tolist(), numbers.tolist(), strict=True):
            rng = generator_for(self.plan.seed, SAMPLE_KEY, position)
            noise.append(rng.random(NOISE_WIDTH, np.float32))
            pixels, caption, used = self._read_sample(reader, number, rng, replaced)
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
        self, reader: RangeReader, number: int, rng: np.random.Generator, replaced: Counter[str]
    ) -> tuple[np.ndarray, str, int]:
        """Pixels, caption and number of a sample, or of the next one that can be used."""
        for step in range(MAX_REPLACEMENTS):
            used = (number + step) % len(self.index)
            try:
                image, caption = read_pair(reader, self.index, used)
                pixels = random_crop(
                    image,
                    self.image_size,
                    rng,
                    scale=self.config.crop_scale,
                    ratio=self.config.crop_ratio,
                )
            except BadSampleError as error:
                replaced[error.args[0]] += 1
            except DecodeError:
                replaced["decode_failed"] += 1
            else:
                return pixels, caption, used
        path = self.index.shard_paths[self.index.shard[number]]
        raise DiagonalError(
            f"{MAX_REPLACEMENTS} samples in a row cannot be used, from uid "
            f"{self.index.uid(number)} in {path}: {dict(replaced)}; check or rebuild the shard"
        )


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
    try:
        members = tar.parse_sample(content).members
    except ValueError as error:
        raise BadSampleError("tar_broken") from error
    image = next((members[e] for e in IMAGE_EXTENSIONS if e in members), None)
    if image is None:
        raise BadSampleError("image_missing")
    if "txt" not in members:
        raise BadSampleError("caption_missing")
    return image, members["txt"].decode("utf-8", "replace")


def batches(stream: SampleStream) -> Iterator[Batch]:
    """This rank's batches in order, decoded by `config.num_workers` processes."""
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
