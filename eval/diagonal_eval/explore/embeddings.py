"""The nearest pictures by cosine: brute force over a dataset's fp16 sidecars, block by block.

    DATASET/embeddings/NAME/SHARD.npz   image (N×D fp16, stored without compression), source; model

A local file is mapped, not read, so the set may be larger than memory; one block of it at a time is
turned into fp32.

Shape suffixes: N samples of a shard, D embedding width, K best.
"""

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diagonal_data.filters.match import Deadline
from diagonal_data.filters.scan import ahead
from diagonal_eval.explore.row_index import ABSENT, RowIndex
from diagonal_eval.npz import BROKEN, map_array, read_text
from diagonal_infra import storage
from diagonal_infra.errors import UserError

BLOCK_ROWS = 8192
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A shard's embeddings of pictures; rows of zeros have none."""

    image_ND: NDArray[np.floating]
    source: str
    model: str
    """What the writer says of the model; empty where it says nothing."""


@dataclass(kw_only=True)
class Nearest:
    """The best so far, and what stood in the way."""

    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    cosines: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    shards_done: int = 0
    problems: list[str] = field(default_factory=list)
    """Of shards that could not be searched."""

    def add(self, places: NDArray[np.int64], cosines: Floats, most: int) -> None:
        """Keep the best of both; of equals the first in the dataset."""
        both = np.concatenate([self.places, places])
        values = np.concatenate([self.cosines, cosines])
        order = np.lexsort((both, -values))[:most]
        self.places, self.cosines = both[order], values[order]


def sidecar_path(dataset: str, name: str, shard: str) -> str:
    """Where a shard's embeddings are."""
    return storage.join(dataset, "embeddings", name, f"{shard}.npz")


def open_sidecar(dataset: str, name: str, shard: str) -> Sidecar:
    """The embeddings of one shard, mapped where the file is local.

    Raises:
        UserError: there are none, or the file is broken, for instance half written.
    """
    path = sidecar_path(dataset, name, shard)
    if not storage.exists(path):
        raise UserError(f"shard {shard} has no embeddings {name}; run 'make scores' again")
    try:
        with storage.open_read(path) as file, zipfile.ZipFile(file) as archive:
            said = {key: read_text(archive, key) for key in ("source", "model")}
            image_ND = map_array(path, archive, "image")
    except BROKEN as error:
        raise UserError(
            f"{path!r} holds no embeddings ({error}); delete it and run 'make scores' again"
        ) from error
    if image_ND.ndim != 2 or not np.issubdtype(image_ND.dtype, np.floating):
        raise UserError(f"{path!r} holds {image_ND.dtype}{image_ND.shape}, not rows of numbers")
    return Sidecar(image_ND=image_ND, **said)


def search(
    shards: Iterable[str],
    read: Callable[[str], Sidecar],
    index: RowIndex,
    query_D: Floats,
    most: int,
    deadline: Deadline,
) -> Nearest:
    """The samples whose pictures are nearest, best first, in the shards seen until the deadline.

    What `read` refuses by a `UserError` is a problem of that shard; the others are searched.
    """

    def best_of(shard: str) -> Nearest:
        found = Nearest()
        try:
            image_ND, targets_N = read(shard).image_ND, index.targets[shard]
            _check_shape(shard, image_ND.shape, len(targets_N), len(query_D))
        except UserError as error:
            found.problems.append(str(error))
            return found
        for start in range(0, len(targets_N), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            _add_block(found, image_ND[rows], targets_N[rows], query_D, most)
        return found

    total = Nearest()
    for part in ahead(best_of, shards):
        total.problems += part.problems
        total.shards_done += not part.problems
        total.add(part.places, part.cosines, most)
        if not deadline.left:
            break
    return total


def _add_block(
    found: Nearest,
    image_ND: NDArray[np.floating],
    targets_N: NDArray[np.uint32],
    query_D: Floats,
    most: int,
) -> None:
    rows_ND = image_ND.astype(np.float32)
    # Not `@`: the threads of BLAS wait by spinning, which takes the cores from the other readers
    # and made this seven times as slow.
    cosine_N = np.einsum("nd,d->n", rows_ND, query_D)
    usable_N = (targets_N != ABSENT) & np.isfinite(cosine_N)
    # A row of zeros is no picture; only where the cosine is 0 can there be one.
    zero = np.flatnonzero(cosine_N == 0)
    usable_N[zero] &= rows_ND[zero].any(axis=1)
    rows = np.flatnonzero(usable_N)
    if len(rows) > most:
        rows = rows[np.argpartition(-cosine_N[rows], most - 1)[:most]]
    found.add(targets_N[rows].astype(np.int64), cosine_N[rows], most)


def _check_shape(shard: str, shape: tuple[int, ...], count: int, width: int) -> None:
    if shape[0] != count:
        raise UserError(
            f"embeddings of shard {shard} have {shape[0]} rows, it has {count} samples; "
            "run 'make scores' again"
        )
    if shape[1] != width:
        raise UserError(f"embeddings of shard {shard} are {shape[1]} wide, the query is {width}")
