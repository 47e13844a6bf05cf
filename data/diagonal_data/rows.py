"""Reading a dataset's row tables and the samples they point to."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import shard_names, shards_folder
from diagonal_data.tar import Sample, parse_sample
from diagonal_infra import storage

TAKEDOWN_COLUMNS = ("uid", "url", "sha256")
"""What `taken_down` reads of a row table."""


def read_rows(dataset: str, columns: Sequence[str]) -> pa.Table:
    """The rows of all finished shards, in order, with a column `shard` added.

    Raises:
        UserError: no dataset, or one without a finished shard.
    """
    tables = []
    for name in shard_names(dataset):
        with storage.open_read(storage.join(shards_folder(dataset), f"{name}.parquet")) as file:
            table = pq.read_table(file, columns=list(columns))
        shard = pa.array([name] * table.num_rows, pa.string()).dictionary_encode()
        tables.append(table.append_column("shard", shard))
    return pa.concat_tables(tables).unify_dictionaries()


def taken_down(dataset: str, rows: pa.Table) -> np.ndarray:
    """Mask of rows that the dataset's tombstones name by uid, url, host or sha256.

    tombstones.parquet has any of these columns; a null names nothing. `rows` must have the columns
    of `TAKEDOWN_COLUMNS`.
    """
    mask = np.zeros(rows.num_rows, dtype=bool)
    path = storage.join(dataset, "tombstones.parquet")
    if not storage.exists(path):
        return mask
    with storage.open_read(path) as file:
        tombstones = pq.read_table(file)
    for name in TAKEDOWN_COLUMNS:
        if name in tombstones.column_names:
            mask |= is_listed(rows[name], tombstones[name].drop_null())
    if "host" in tombstones.column_names:
        hosts = pa.chunked_array([[host_of(url) for url in rows["url"].to_pylist()]], pa.string())
        mask |= is_listed(hosts, tombstones["host"].drop_null())
    return mask


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
