"""Which samples a run may see, and where their bytes lie.

    dataset folder ─► its row tables (dataset_index.py) ─┐
    foreign tars ─► their headers (tar_index.py) ────────┴► a file in the cache (index_cache.py)
    sources joined by "::" ─► SampleIndex, source after source

The kept samples of a source stand in the order (repetition, shard, offset): a uid that a keep list
names k times stands once in each of the first k repetitions, so that its copies are far apart.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.filters.inputs import warn_if_stale
from diagonal_data.uid_set import HEX_DIGITS, UID_BYTES
from diagonal_infra.errors import UserError
from diagonal_train.streaming.dataset_index import open_dataset
from diagonal_train.streaming.index_cache import COLUMNS, IndexTable, ShardFile
from diagonal_train.streaming.tar_index import names_tars, open_tars

SEPARATOR = "::"


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleIndex:
    """Columns of the kept samples, about 40 bytes each; `digest` names their content.

    The columns of a single source are views of the cache's file, which every process of a node
    shares; those of several sources are joined in memory, but for the uids.
    """

    shards: list[ShardFile]
    shard: np.ndarray
    """Number of the sample's shard in `shards`, int32."""
    repetition: np.ndarray
    """0 for a sample's first place in a pass, 1 for its second, …; int32."""
    offset: np.ndarray
    """First byte of the sample's members in its tar, int64."""
    length: np.ndarray
    """Bytes of the members, int64."""
    source_ends: np.ndarray
    """The number after each source's last sample, int64."""
    digest: str
    uid_columns: tuple[pa.Array, ...] = ()
    """The uids of each source: binary(16), or texts."""

    def __len__(self) -> int:
        return len(self.shard)

    def uids(self, numbers: np.ndarray) -> list[str]:
        """The samples' uids: 32 hex digits in a dataset folder, the key in foreign tars."""
        if len(self.uid_columns) == 1:
            return _uid_texts(self.uid_columns[0], numbers)
        found = np.empty(len(numbers), object)
        sources = np.searchsorted(self.source_ends, numbers, "right")
        for source in np.unique(sources):
            inside = sources == source
            begin = self.source_ends[source - 1] if source else 0
            found[inside] = _uid_texts(self.uid_columns[source], numbers[inside] - begin)
        return found.tolist()


def open_index(
    data: str,
    filter: str | None,  # noqa: A002  # the flag's name
    *,
    cache: str | None = None,
    captions: Sequence[str] = ("txt",),
) -> SampleIndex:
    """Read which samples are kept, from the cache if they were asked for before.

    Args:
        data: a dataset folder, or a pattern of foreign tars, or several of these joined by `::`.
        filter: name of a keep list under DATASET/filters; None keeps every sample. Either one for
            all dataset folders or one per source, joined by `::`, where `None` means none.
        cache: folder of the index files; None is `$XDG_CACHE_HOME/diagonal/index`.
        captions: extensions of the members that can be a sample's caption, in foreign tars.

    Raises:
        UserError: no dataset, no shard, no such keep list, or nothing is kept.
    """
    sources = data.split(SEPARATOR)
    tables = [
        open_tars(source, captions, cache=cache)
        if names_tars(source)
        else open_dataset(source, name, cache=cache)
        for source, name in zip(sources, filters_for(sources, filter), strict=True)
    ]
    return _joined(tables)


def filters_for(sources: Sequence[str], filter: str | None) -> list[str | None]:  # noqa: A002
    """The keep list of each source.

    Raises:
        UserError: a keep list for foreign tars, or another number of names than of sources.
    """
    are_tars = [names_tars(source) for source in sources]
    names = [None if name == "None" else name for name in (filter or "None").split(SEPARATOR)]
    if len(names) == 1 and not all(are_tars):
        names = [None if tars else names[0] for tars in are_tars]
    names *= len(sources) if len(names) == 1 else 1
    if len(names) != len(sources):
        raise UserError(
            f"{len(names)} filters for {len(sources)} sources in {filter!r}; give one for all "
            f"dataset folders, or one per source joined by '{SEPARATOR}', 'None' for none"
        )
    for source, name, tars in zip(sources, names, are_tars, strict=True):
        if tars and name is not None:
            raise UserError(
                f"filter {name!r} needs a dataset folder, and {source!r} names tars; "
                "set --filter None or give the dataset's folder"
            )
    return names


def warn_of_stale_filters(data: str, filter: str | None) -> None:  # noqa: A002
    """Name in the log the filters whose inputs have changed since they were made."""
    sources = data.split(SEPARATOR)
    for source, name in zip(sources, filters_for(sources, filter), strict=True):
        if name is not None:
            warn_if_stale(source, name)


def _joined(tables: list[IndexTable]) -> SampleIndex:
    """Source after source; the columns of a single one are not copied."""
    shard_counts = np.cumsum([0, *(len(table.shards) for table in tables)])
    shard, repetition, offset, length = (
        [table.columns[name].to_numpy() for table in tables] for name in COLUMNS[:4]
    )
    if len(tables) > 1:
        shard = [part + np.int32(first) for part, first in zip(shard, shard_counts, strict=False)]
    digests = [table.digest for table in tables]
    return SampleIndex(
        shards=[shard for table in tables for shard in table.shards],
        shard=_concatenated(shard),
        repetition=_concatenated(repetition),
        offset=_concatenated(offset),
        length=_concatenated(length),
        source_ends=np.cumsum([table.columns.num_rows for table in tables], dtype=np.int64),
        digest=digests[0] if len(tables) == 1 else _sha256("\n".join(digests).encode()),
        uid_columns=tuple(table.columns["uid"] for table in tables),
    )


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _uid_texts(column: pa.Array, numbers: np.ndarray) -> list[str]:
    if not pa.types.is_fixed_size_binary(column.type):
        return column.take(pa.array(numbers)).to_pylist()
    values = np.frombuffer(column.buffers()[1], f"V{UID_BYTES}")
    digits = values[numbers].tobytes().hex()
    return [digits[i : i + HEX_DIGITS] for i in range(0, len(digits), HEX_DIGITS)]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
