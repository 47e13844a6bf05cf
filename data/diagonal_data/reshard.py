"""A dataset and a keep list to a smaller dataset, by byte copies.

    python -m diagonal_data.reshard keep-list --dataset out/d --filter basic --output out/e

Samples are copied as ranges of the tars, never decoded, and keep their keys, so the pixels and
texts are the same to the byte. Training does not need this (it streams through the keep list); it
is for handing a subset on. A sample listed twice is copied twice, the second under KEY_1.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data.build_shard import HashingFile
from diagonal_data.config import ReshardConfig
from diagonal_data.filters.inputs import warn_if_stale
from diagonal_data.filters.keep_list import pack_uids, read_keep_list, times_listed
from diagonal_data.manifest import (
    STATS_SUFFIX,
    Manifest,
    ShardInfo,
    open_manifest,
    read_manifest,
    shards_folder,
)
from diagonal_data.recipes import RESHARD
from diagonal_data.rows import read_rows, taken_down
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import Sample, TarWriter, parse_sample, sample_bytes
from diagonal_infra import log, run_dir, storage
from diagonal_infra.cli import run_command

logger = logging.getLogger(__name__)


def main(config: ReshardConfig) -> None:
    """Copy, then say how much."""
    manifest = reshard(config)
    samples = sum(info.samples for info in manifest.shards.values())
    log.STDOUT.print(f"{samples:,} samples in {len(manifest.shards)} shards at {config.output}")


def reshard(config: ReshardConfig) -> Manifest:
    """Write the smaller dataset; finished shards of an earlier, killed run are kept.

    Raises:
        UserError: no such dataset or filter, or an output folder of another origin.
    """
    warn_if_stale(config.dataset, config.filter)
    rows = kept_rows(config)
    settings = read_manifest(config.dataset)["settings"] | {
        "resharded_from": config.dataset,
        "filter": config.filter,
        "keep_digest": _digest(rows),
        "samples_per_shard": config.samples_per_shard,
    }
    storage.check_writable(config.output)
    storage.delete_partials(shards_folder(config.output))
    manifest = open_manifest(config.output, settings, config)
    starts = range(0, rows.num_rows, config.samples_per_shard)
    with log.progress() as progress:
        for number, start in enumerate(progress.track(starts, description="reshard")):
            name = f"{number:08d}"
            if name not in manifest.shards:
                part = rows.slice(start, config.samples_per_shard)
                manifest.add(_copy_shard(config, name, part))
                manifest.write()
    manifest.write()
    return manifest


def kept_rows(config: ReshardConfig) -> pa.Table:
    """Rows of the kept samples in dataset order, repeated as often as listed.

    The added column `copy` counts the repetitions of a sample from 0.
    """
    rows = read_rows(config.dataset, ROW_SCHEMA.names)
    rows = rows.filter(pa.array(~taken_down(config.dataset, rows))).filter(
        pc.field("status") == "success"
    )
    keep = read_keep_list(config.dataset, config.filter)
    uids = pack_uids(rows["uid"].to_pylist())
    times = times_listed(uids, keep)
    copies = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    repeated = rows.take(pa.array(np.repeat(np.arange(rows.num_rows), times)))
    return repeated.append_column("copy", pa.array(copies))


def _digest(rows: pa.Table) -> str:
    return hashlib.sha256(pack_uids(rows["uid"].to_pylist()).tobytes()).hexdigest()


def _copy_shard(config: ReshardConfig, name: str, rows: pa.Table) -> ShardInfo:
    base = storage.join(shards_folder(config.output), name)
    copied = []
    with storage.write_whole(f"{base}.tar") as file:
        hashing = HashingFile(file)
        writer = TarWriter(cast(IO[bytes], hashing))
        for row, content in _contents(config.dataset, rows):
            del row["shard"]
            if copy := row.pop("copy"):
                row["key"] = f"{row['key']}_{copy}"
                members = parse_sample(content).members
                content = sample_bytes(Sample(key=row["key"], members=members))
            extent = writer.add_bytes(content)
            copied.append(row | {"tar_offset": extent.offset, "tar_bytes": extent.length})
        writer.close()
    with storage.write_whole(f"{base}.parquet") as file:
        pq.write_table(pa.Table.from_pylist(copied, schema=ROW_SCHEMA), file)
    info = ShardInfo(
        name=name,
        candidates=len(copied),
        samples=len(copied),
        bytes=hashing.size,
        sha256=hashing.digest.hexdigest(),
    )
    stats = {"successes": info.samples, **vars(info)}
    storage.write_bytes(f"{base}{STATS_SUFFIX}", run_dir.to_json(stats))
    return info


def _contents(dataset: str, rows: pa.Table) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each row with its sample's bytes; one open tar at a time, since rows are in shard order."""
    opened: str | None = None
    with contextlib.ExitStack() as stack:
        file: IO[bytes] | None = None
        for row in rows.to_pylist():
            if row["shard"] != opened or file is None:
                stack.close()
                opened = row["shard"]
                path = storage.join(shards_folder(dataset), f"{opened}.tar")
                file = stack.enter_context(storage.open_read(path))
            file.seek(row["tar_offset"])
            yield row, file.read(row["tar_bytes"])


if __name__ == "__main__":
    run_command(main, RESHARD, description=__doc__)
