"""Samples one by one out of a dataset's tars and into a new shard, by who changes them on the way.

    read_contents ─► rows and bytes ─► write_copies

`reinforce` adds members so; copies that stay as they are go faster (copying.py).
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.build_shard import HashingFile
from diagonal_data.manifest import STATS_SUFFIX, ShardInfo, shards_folder
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import TarWriter
from diagonal_infra import run_dir, storage


def read_contents(dataset: str, rows: pa.Table) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each row, its shard taken off, with its sample's bytes.

    One tar is open at a time, since rows are in shard order.
    """
    opened: str | None = None
    with contextlib.ExitStack() as stack:
        file: IO[bytes] | None = None
        for row in rows.to_pylist():
            if (shard := row.pop("shard")) != opened or file is None:
                stack.close()
                opened = shard
                path = storage.join(shards_folder(dataset), f"{opened}.tar")
                file = stack.enter_context(storage.open_read(path))
            file.seek(row["tar_offset"])
            yield row, file.read(row["tar_bytes"])


def write_copies(
    dataset: str, name: str, samples: Iterable[tuple[dict[str, Any], bytes]]
) -> ShardInfo:
    """A shard of samples whose rows are known; the rows get their new places.

    Its files appear whole, the stats last: a shard that a kill leaves is written again.
    """
    copied = []
    with storage.write_whole(tar_path(dataset, name)) as file:
        hashing = HashingFile(file)
        writer = TarWriter(cast(IO[bytes], hashing))
        for row, content in samples:
            extent = writer.add_bytes(content)
            copied.append(row | {"tar_offset": extent.offset, "tar_bytes": extent.length})
        writer.close()
    return finish_shard(dataset, name, pa.Table.from_pylist(copied, schema=ROW_SCHEMA), hashing)


def tar_path(dataset: str, name: str) -> str:
    """Where a shard's tar is."""
    return storage.join(shards_folder(dataset), f"{name}.tar")


def finish_shard(dataset: str, name: str, rows: pa.Table, tar: HashingFile) -> ShardInfo:
    """Write the row table and the stats of a shard whose tar is there."""
    base = storage.join(shards_folder(dataset), name)
    with storage.write_whole(f"{base}.parquet") as file:
        pq.write_table(rows, file)
    info = ShardInfo(
        name=name,
        candidates=rows.num_rows,
        samples=rows.num_rows,
        bytes=tar.size,
        sha256=tar.digest.hexdigest(),
    )
    stats = {"successes": info.samples, **asdict(info)}
    storage.write_bytes(f"{base}{STATS_SUFFIX}", run_dir.to_json(stats))
    return info
