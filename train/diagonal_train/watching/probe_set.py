"""The samples of a probe: which they are, and reading them.

They are the same at any number of ranks: cut into chunks of CHUNK, of which rank r owns the chunks
r, r + world_size, …; a sample that cannot be used is left out.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_train.config.probe import ProbeConfig
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import SampleIndex, open_index
from diagonal_train.streaming.ranged_get import ShardChangedError
from diagonal_train.streaming.reader import BadSampleError, ShardReader, image_and_members
from diagonal_train.streaming.samples import captions_of
from diagonal_train.streaming.transforms import DecodeError, preprocess_for_eval

CHUNK = 32
"""Samples embedded together; the same whatever the ranks, so that rounding is too."""


@dataclass(frozen=True, kw_only=True)
class ProbeSet:
    """The probe's samples, by number in their index."""

    index: SampleIndex
    numbers: np.ndarray
    config: LoaderConfig
    image_size: int

    @cached_property
    def reader(self) -> ShardReader:
        """Opens nothing before it reads."""
        return ShardReader(self.index.shards, self.config)

    @property
    def num_chunks(self) -> int:
        """Chunks of all ranks together."""
        return -(-len(self.numbers) // CHUNK)

    def read_chunk(self, chunk: int) -> tuple[Tensor, list[str | None]]:
        """Pixels N×3×H×W uint8 and captions of a chunk; black and None for what is unusable.

        Raises:
            StorageError: a store does not answer.
        """
        numbers = self.numbers[chunk * CHUNK : (chunk + 1) * CHUNK]
        pixels = torch.zeros(len(numbers), 3, self.image_size, self.image_size, dtype=torch.uint8)
        captions: list[str | None] = []
        decode = preprocess_for_eval(self.image_size)
        for row, number in enumerate(numbers):
            try:
                content = self.reader.read_alone(
                    int(self.index.shard[number]),
                    int(self.index.offset[number]),
                    int(self.index.length[number]),
                )
                image, members = image_and_members(content)
                caption = captions_of(members, self.config.captions)[0]
                pixels[row] = torch.from_numpy(decode(image))
                captions.append(caption)
            except (BadSampleError, ShardChangedError, DecodeError):
                captions.append(None)
        return pixels, captions


def open_probe_set(
    config: ProbeConfig, loader: LoaderConfig, image_size: int, trained: SampleIndex
) -> ProbeSet:
    """The samples to probe with.

    Raises:
        UserError: the data cannot be used, or the run trains on some of it.
    """
    assert config.data is not None
    cache, captions = loader.index_cache, loader.captions
    index = open_index(config.data, config.filter, cache=cache, captions=captions)
    once = np.flatnonzero(index.repetition == 0)
    count = min(config.samples, len(once))
    numbers = once[np.arange(count) * len(once) // count]
    shared = count_shared(index, numbers, trained)
    if shared:
        raise UserError(
            f"{shared} of the {count} probe samples are trained on; hold them out with a keep list "
            "(--filter, --probe.filter) or set --probe.data to another dataset"
        )
    return ProbeSet(index=index, numbers=numbers, config=loader, image_size=image_size)


def count_shared(index: SampleIndex, numbers: np.ndarray, trained: SampleIndex) -> int:
    """How many of these samples lie at a place, shard and offset, that the run reads too."""
    paths = {shard.path: number for number, shard in enumerate(trained.shards)}
    shared = 0
    for own in np.unique(index.shard[numbers]):
        other = paths.get(index.shards[own].path)
        if other is not None:
            offsets = index.offset[numbers[index.shard[numbers] == own]]
            shared += int(np.isin(offsets, trained.offset[trained.shard == other]).sum())
    return shared


def read_class_names(path: str) -> list[str]:
    """The distinct names of a text file, one a line.

    Raises:
        UserError: there is no such file, or it holds no name.
    """
    if not storage.exists(path):
        raise UserError(f"no file {path!r}; --probe.classes is a text file with a name per line")
    lines = storage.read_bytes(path).decode("utf-8", "replace").splitlines()
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise UserError(f"{path!r} holds no class name; --probe.classes has one per line")
    return names
