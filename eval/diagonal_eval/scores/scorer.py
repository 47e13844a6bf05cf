"""What a kind of scores is: columns, a digest of what makes them, a function from batch to columns.

    sample's bytes ─ prepare (in threads, ahead) ─ score (a batch of those that are there) ─ columns

A sample that is taken down, or whose picture cannot be decoded, is not shown to `score`; its floats
are NaN, its other values null, and what is kept beside the columns is zero.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_infra.errors import UserError

EXTRA = "scores"
Arrays = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A shard to score; `sha256` is of its tar as it was built."""

    shard: str
    sha256: str

    def __str__(self) -> str:
        return self.shard

    def source(self, digest: str) -> str:
        """Names what the shard's scores are made from: the scorer and the tar's bytes."""
        return content_digest(digest, self.shard, self.sha256)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A value per sample of a batch, by column."""

    columns: Mapping[str, Sequence[Any] | NDArray[Any]]
    beside: Arrays = field(default_factory=dict)
    """Rows that are no columns of the table, for `Beside`."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A second file of a shard, written before its table."""

    widths: Mapping[str, int]
    """Name and row length of its fp16 arrays."""
    write: Callable[[Unit, list[str], Arrays], None]
    """Given the shard, its uids and a row per uid of each array."""
    is_current: Callable[[Unit], bool]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """One kind with its model loaded."""

    schema: pa.Schema
    """Its columns, without the uid."""
    digest: str
    """Names model, version and settings: another digest is another set of values."""
    batch_size: int
    score: Callable[[Sequence[StoredSample], Sequence[Any]], Scored]
    """Given samples and what `prepare` made of their pictures."""
    prepare: Callable[[bytes], Any] | None = None
    """Of an encoded picture, in a thread; raises ValueError if it cannot be decoded. None: the kind
    needs no pictures, and they are not read."""
    beside: Beside | None = None
    model: str | None = None
    """What `score` waits with when there is no data, for the log; None: there is no model."""


def needed(module: str, package: str, purpose: str) -> ModuleType:
    """A module of an optional package, imported when it is used.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{purpose} needs {package}, which is not installed ({error}); run 'make setup' or "
            f"install it with 'pip install \"diagonal[{EXTRA}]\"'"
        ) from error
