"""One image and its captions, or those of another sample in its place, and why.

A sample that cannot be used is replaced by the next of its shard, then by others drawn at random.
Which ones depends on (seed, position) and the shards only, so every reader replaces alike.
"""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from diagonal_infra.errors import DiagonalError
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import SampleIndex
from diagonal_train.streaming.order import SAMPLE_KEY, generator_for
from diagonal_train.streaming.reader import (
    BadSampleError,
    ShardChangedError,
    ShardReader,
    Window,
    image_and_members,
)
from diagonal_train.streaming.transforms import DecodeError

CAUSES = (
    "read_failed",
    "shard_changed",
    "tar_broken",
    "image_missing",
    "caption_missing",
    "decode_failed",
    "teacher_missing",
    "teacher_broken",
)
"""Why a sample is replaced: a closed set, counted in the metrics."""
NEIGHBOURS = 4
"""Samples tried in a row from a bad one on, before others are taken from anywhere."""
MAX_REPLACEMENTS = 64
"""Samples tried in place of one."""
MIN_SAMPLES_FOR_SHARE = 4096
"""Fewer than these may by chance come from one bad shard."""
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class SampleSource:
    """Reads samples by number, replaces bad ones and counts them by shard."""

    def __init__(self, index: SampleIndex, config: LoaderConfig, seed: int) -> None:
        self.reader = ShardReader(index.shards, config)
        self._index = index
        self._config = config
        self._seed = seed
        self._read = 0
        self._bad: Counter[int] = Counter()

    def use(
        self,
        number: int,
        window: Window,
        position: int,
        then: Callable[[bytes, list[str], dict[str, bytes]], Result],
    ) -> tuple[Result, int, str | None]:
        """What `then` makes of a sample, the number of the sample used, and why if it is another.

        Args:
            number: the sample's.
            window: the run it is read with.
            position: of the flat stream.
            then: given the encoded image, its captions and all members; may raise DecodeError
                or BadSampleError.

        Raises:
            DiagonalError: too many samples cannot be used; the message names a shard.
        """
        self._read += 1
        try:
            start, length = int(self._index.offset[number]), int(self._index.length[number])
            return then(*self._parts(self.reader.read(window, start, length))), number, None
        except (BadSampleError, ShardChangedError, DecodeError) as error:
            cause = cause_of(error)
        self._note_bad(number, cause)
        causes = [cause]
        rng = generator_for(self._seed, SAMPLE_KEY, position, 1)
        others = replacements_for(number, len(self._index), rng)
        for other in itertools.islice(others, MAX_REPLACEMENTS):
            try:
                return then(*self._parts(self._read_alone(other))), other, cause
            except (BadSampleError, ShardChangedError, DecodeError) as error:
                causes.append(cause_of(error))
        raise DiagonalError(
            f"{len(causes)} samples in a row cannot be used, from "
            f"{self._index.uids(np.array([number]))[0]} in {self._path(number)} on: "
            f"{dict(Counter(causes))}; check or rebuild the shards"
        )

    def close(self) -> None:
        """Close files and end reading ahead."""
        self.reader.close()

    def _parts(self, content: bytes) -> tuple[bytes, list[str], dict[str, bytes]]:
        image, members = image_and_members(content)
        return image, captions_of(members, self._config.captions), members

    def _read_alone(self, number: int) -> bytes:
        place = self._index.shard, self._index.offset, self._index.length
        return self.reader.read_alone(*(int(column[number]) for column in place))

    def _note_bad(self, number: int, cause: str) -> None:
        shard = int(self._index.shard[number])
        if not self._bad[shard]:
            logger.warning("replacing samples shard=%s cause=%s", self._path(number), cause)
        self._bad[shard] += 1
        bad, most = self._bad.total(), self._config.max_replaced
        if self._read >= MIN_SAMPLES_FOR_SHARE and bad > most * self._read:
            worst, count = self._bad.most_common(1)[0]
            raise DiagonalError(
                f"{bad} of {self._read} samples cannot be used, {count} of them in "
                f"{self._index.shards[worst].path}, more than the share of {most} that "
                "max-replaced allows; check or rebuild the shards"
            )

    def _path(self, number: int) -> str:
        return self._index.shards[self._index.shard[number]].path


def cause_of(error: Exception) -> str:
    """The one of CAUSES that an error stands for."""
    if isinstance(error, BadSampleError):
        return error.args[0]
    return "shard_changed" if isinstance(error, ShardChangedError) else "decode_failed"


def replacements_for(number: int, size: int, rng: np.random.Generator) -> Iterator[int]:
    """The samples next to a bad one, then any at random, without end.

    The neighbours of one bad sample are good; those in a lost shard are not, so that the place is
    left soon.
    """
    for step in range(1, NEIGHBOURS):
        yield (number + step) % size
    while True:
        yield int(rng.integers(size))


def captions_of(members: dict[str, bytes], names: tuple[str, ...]) -> list[str]:
    """All captions that a sample has in the members named, at least one.

    Raises:
        BadSampleError: there is none.
    """
    found: list[str] = []
    for name in names:
        member, _, key = name.partition(":")
        if member in members:
            found += _texts(members[member], key)
    if not found:
        raise BadSampleError("caption_missing")
    return found


def _texts(content: bytes, key: str) -> list[str]:
    if not key:
        return [content.decode("utf-8", "replace")]
    try:
        value = json.loads(content)[key]
    except (ValueError, KeyError, TypeError):
        return []
    return [text for text in (value if isinstance(value, list) else [value]) if text]
