"""Whole Parquet tables, read so that a program may end at any moment afterwards.

pyarrow's threads may still hold a Python file when the interpreter goes down, and then abort the
process with `terminate called without an active exception`: one short command in four did. So local
files are opened by Arrow itself, which needs no interpreter, and others are read by one thread.
Whoever reads batches of an open file passes `use_threads=False` for the same reason.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_infra import storage


def read_parquet(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The columns of a file, in that order; all of them if None."""
    names = None if columns is None else list(columns)
    local = storage.local_path(path)
    if local is not None:
        with pq.ParquetFile(local) as file:
            return file.read(names)
    with storage.open_read(path) as opened:
        return pq.read_table(opened, columns=names, pre_buffer=False, use_threads=False)
