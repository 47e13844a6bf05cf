"""Reading a dataset's row tables and the samples they point to."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from diagonal_data.manifest import shard_passes, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import Sample, parse_sample
from diagonal_data.tombstones import named_rows, read_tombstones
from diagonal_data.uid_set import packed_uids
from diagonal_infra import storage


def read_rows(dataset: str, columns: Sequence[str]) -> pa.Table:
    """The latest row of every candidate in finished shards, with a column `shard` added.

    Raises:
        UserError: no dataset, or one without a finished shard.
    """
    tables = []
    for name, table in stream_rows(dataset, columns, shard_passes(dataset)):
        shard = pa.array([name] * table.num_rows, pa.string()).dictionary_encode()
        tables.append(table.append_column("shard", shard))
    return pa.concat_tables(tables).unify_dictionaries()


def stream_rows(
    dataset: str, columns: Sequence[str], passes: Mapping[str, int]
) -> Iterator[tuple[str, pa.Table]]:
    """Name and rows of the shards that `passes` names with their retry pass, in its order.

    A candidate that was retried has a row in several shards: only the one of the last pass is read.
    """
    superseded = Superseded(dataset, passes)
    for name, retry_pass in passes.items():
        if superseded.is_empty:
            yield name, read_shard_rows(dataset, name, columns)
            continue
        table = read_shard_rows(dataset, name, list(dict.fromkeys([*columns, "uid"])))
        is_old = superseded.mask(packed_uids(table["uid"]), retry_pass)
        yield name, table.filter(pa.array(~is_old)).select(list(columns))


class Superseded:
    """Which rows a later retry pass has fetched again; holds the uids of retry shards only."""

    def __init__(self, dataset: str, passes: Mapping[str, int]) -> None:
        retries = sorted((name for name in passes if passes[name]), key=lambda n: -passes[n])
        uids = [packed_uids(read_shard_rows(dataset, name, ["uid"])["uid"]) for name in retries]
        self.is_empty = not uids
        if uids:
            ranks = np.repeat([passes[name] for name in retries], [len(part) for part in uids])
            # The first of equals is of the last pass.
            self._uids, first = np.unique(np.concatenate(uids), return_index=True)
            self._passes = ranks[first]

    def mask(self, uids: np.ndarray, retry_pass: int) -> np.ndarray:
        """The rows of a shard of that pass that do not count."""
        places = np.minimum(self._uids.searchsorted(uids), len(self._uids) - 1)
        return (self._uids[places] == uids) & (self._passes[places] > retry_pass)


def read_shard_rows(dataset: str, shard: str, columns: Sequence[str]) -> pa.Table:
    """All rows of one shard, those of earlier passes too; columns that it lacks are null."""
    table = read_parquet(storage.join(shards_folder(dataset), f"{shard}.parquet"), columns)
    for name in columns:
        if name not in table.column_names and name in ROW_SCHEMA.names:
            nulls = pa.nulls(table.num_rows, ROW_SCHEMA.field(name).type)
            table = table.append_column(name, nulls)
    return table.select(list(columns))


def taken_down(dataset: str, rows: pa.Table) -> np.ndarray:
    """Mask of rows that the dataset's tombstones name; see tombstones.py.

    `rows` must have `uid` and `url`, and should have all of `TAKEDOWN_COLUMNS`.
    """
    return named_rows(read_tombstones(dataset), rows)


def host_of(url: str) -> str:
    """The host name in lower case, without port; empty for what is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_listed(values: pa.ChunkedArray, listed: pa.ChunkedArray) -> np.ndarray:
    """Mask of the values that stand in `listed`."""
    wanted = set(listed.to_pylist())
    return np.fromiter((value in wanted for value in values.to_pylist()), bool, len(values))


def read_range(dataset: str, shard: str, offset: int, length: int) -> bytes:
    """The bytes of one sample in its shard's tar."""
    with storage.open_read(storage.join(shards_folder(dataset), f"{shard}.tar")) as file:
        file.seek(offset)
        return file.read(length)


def read_sample(dataset: str, row: dict) -> Sample:
    """The sample that a row (with `shard`, `tar_offset`, `tar_bytes`) points to."""
    return parse_sample(read_range(dataset, row["shard"], row["tar_offset"], row["tar_bytes"]))
