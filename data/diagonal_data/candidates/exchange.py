"""What one stage of the work hands to the next, cut by a hash: the exchange of a group-by.

    FOLDER/WRITER.parquet   a row group for each partition that has rows, in order; in the file's
                            metadata, which row group is which partition's, and what was counted

A reader of one partition opens every writer's file and reads one row group of each. A file
appears whole with its counts or not at all, so a writer whose file is there is done.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_infra import storage

FACTS = b"diagonal"
REPEATING = ("source", "lang", "page_lang", "licence", "page_url", "language", "reason")
"""Columns that a dictionary makes smaller; others are written faster without."""


def write_partitioned(
    path: str, table: pa.Table, partition: np.ndarray, facts: Mapping[str, Any]
) -> None:
    """Write the rows of a table, each to its partition.

    Args:
        path: of the file.
        table: in any order; equal tables give equal files.
        partition: number of each row's partition, int.
        facts: JSON-ready values that go with the file.
    """
    numbers, counts = np.unique(partition, return_counts=True)
    table = table.take(pa.array(np.argsort(partition, kind="stable")))
    ends = np.cumsum(counts)
    repeating = [name for name in REPEATING if name in table.column_names]
    record = {"groups": numbers.tolist(), "facts": dict(facts)}
    schema = table.schema.with_metadata({FACTS: json.dumps(record).encode()})
    with (
        storage.write_whole(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=repeating,  # pyright: ignore[reportArgumentType]  # stubs know no lists
        ) as writer,
    ):
        for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
            group = table.slice(end - count, count)
            writer.write_table(group.replace_schema_metadata(schema.metadata), count)


def read_partition(
    paths: Iterable[str], number: int, columns: Sequence[str] | None = None
) -> list[pa.Table]:
    """The rows of one partition, a table per file that has any."""
    tables = []
    names = None if columns is None else list(columns)
    for path in paths:
        with storage.open_read(path) as opened:
            file = pq.ParquetFile(opened)
            groups = _record(file.schema_arrow)["groups"]
            if number in groups:
                table = file.read_row_group(groups.index(number), names, use_threads=False)
                tables.append(table.replace_schema_metadata(None))
    return tables


def read_facts(path: str) -> dict[str, Any]:
    """What was counted when the file was written."""
    with storage.open_read(path) as file:
        return _record(pq.read_schema(file))["facts"]


def _record(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {})[FACTS])
