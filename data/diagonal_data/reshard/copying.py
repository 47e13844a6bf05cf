"""One new shard: the function that Ray runs, or this process with --local.

    unit file ─► bytes of its samples, in order ─► tar ─► row table ─► stats (last: the done mark)

The samples are never decoded; only their headers are looked at, to tell damage from samples, and
changed in the second and later copies, which are called KEY_1, KEY_2 … Each file appears whole, so
a kill loses the shard in hand at most, and doing it again gives the same bytes.
"""

from dataclasses import dataclass
from typing import IO, cast

import numpy as np
import pyarrow as pa

from diagonal_data.build_shard import HashingFile
from diagonal_data.manifest import ShardInfo, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.reshard.ranges import Batch, RangeReader
from diagonal_data.reshard.samples import finish_shard, tar_path
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import BLOCK, Sample, TarWriter, parse_sample, sample_bytes
from diagonal_data.units import Unit
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_infra.shared import Shared


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A finished shard, unless samples are damaged and may not be skipped."""

    info: ShardInfo | None
    damaged: dict[str, list[int]]
    """Offsets of samples that could not be copied, by source shard."""


class DamagedError(StorageError):
    """Samples of a new shard cannot be copied; `places` as in `Copied`."""

    def __init__(self, places: dict[str, list[int]]) -> None:
        super().__init__(f"damaged samples: {places}")
        self.places = places


def copy_shard(unit: Unit, handle: Shared, config: ReshardConfig) -> Copied:
    """Write one new shard; `handle` is not used."""
    rows = read_parquet(unit.path)
    keys = new_keys(rows)
    try:
        with storage.write_whole(tar_path(config.output, unit.shard)) as file:
            hashing = HashingFile(file)
            is_damaged = _copy_samples(config, rows, keys, hashing)
            damaged = _places(rows, is_damaged)
            if damaged and not config.skip_damaged:
                raise DamagedError(damaged)
    except DamagedError as error:
        return Copied(info=None, damaged=error.places)
    rows = _new_rows(rows, keys).filter(pa.array(~is_damaged))
    lengths = rows["tar_bytes"].to_numpy()
    place = rows.schema.get_field_index("tar_offset")
    rows = rows.set_column(place, rows.field(place), pa.array(np.cumsum(lengths) - lengths))
    info = finish_shard(config.output, unit.shard, rows, hashing)
    return Copied(info=info, damaged=damaged)


def new_keys(rows: pa.Table) -> list[str | None]:
    """Of later copies the key with a number; the others keep theirs."""
    pairs = zip(rows["key"].to_pylist(), rows["copy"].to_pylist(), strict=True)
    return [f"{key}_{copy}" if copy else key for key, copy in pairs]


def _copy_samples(
    config: ReshardConfig, rows: pa.Table, keys: list[str | None], file: HashingFile
) -> np.ndarray:
    """Write the tar; the mask of samples that are left out because they are damaged."""
    offsets, lengths = rows["tar_offset"].to_numpy(), rows["tar_bytes"].to_numpy()
    old, copies = rows["key"].to_pylist(), rows["copy"].to_numpy()
    is_damaged = np.zeros(rows.num_rows, dtype=bool)
    writer = TarWriter(cast(IO[bytes], file))
    with RangeReader(shards_folder(config.dataset)) as reader:
        for batch in reader.batches(rows["shard"].to_pylist(), offsets, lengths):
            begin = 0
            for i, end in enumerate(batch.ends.tolist(), start=batch.first):
                content = batch.content[begin:end]
                if not is_sample(content, old[i]):
                    is_damaged[i] = True
                elif copies[i]:
                    members = parse_sample(content).members
                    content[:] = sample_bytes(Sample(key=str(keys[i]), members=members))
                begin = end
            _write(writer, batch, is_damaged[batch.first : batch.first + len(batch.ends)])
    writer.close()
    return is_damaged


def _write(writer: TarWriter, batch: Batch, is_damaged: np.ndarray) -> None:
    if not is_damaged.any():
        writer.add_bytes(batch.content)
        return
    begins = [0, *batch.ends[:-1].tolist()]
    for begin, end, left_out in zip(begins, batch.ends.tolist(), is_damaged, strict=True):
        if not left_out:
            writer.add_bytes(batch.content[begin:end])


def is_sample(content: memoryview, key: str | None) -> bool:
    """Whether the bytes are whole members of one sample, of that key if it is known.

    Headers are looked at, contents are not: a changed byte of a picture is not seen.
    """
    prefix = b"" if key is None else f"{key}.".encode()
    offset, length = 0, len(content)
    while offset < length:
        head = content[offset : offset + BLOCK].tobytes()
        if head[257:262] != b"ustar" or not head.startswith(prefix):
            return False
        prefix = prefix or head.partition(b".")[0] + b"."
        try:
            size = int(head[124:135], 8)
        except ValueError:
            return False
        offset += BLOCK + size + -size % BLOCK
    return offset == length and length > 0


def _places(rows: pa.Table, is_damaged: np.ndarray) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    chosen = rows.select(["shard", "tar_offset"]).filter(pa.array(is_damaged))
    for row in chosen.to_pylist():
        places.setdefault(row["shard"], []).append(row["tar_offset"])
    return places


def _new_rows(rows: pa.Table, keys: list[str | None]) -> pa.Table:
    place = ROW_SCHEMA.get_field_index("key")
    kept = rows.select(ROW_SCHEMA.names)
    return kept.set_column(place, ROW_SCHEMA.field(place), pa.array(keys, pa.string()))
