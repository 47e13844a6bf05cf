"""Which sample goes where: a pure function of dataset, tombstones, keep list and seed.

    row tables ─► stored, not taken down ─► times the keep list ─► order ─► cut into new shards

    OUTPUT/units/00000007.parquet   the rows of one new shard, in its order, with the columns
                                    `shard` (where the sample is) and `copy` (0, 1, … of a repeat)

The order with a seed sorts by a hash of seed, uid and copy: it does not depend on how the dataset
is sharded, and samples that come or go do not move the others against each other. Planning holds
40 bytes a sample; rows are gathered for some new shards at a time, and read once for each such
group.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.filters.keep_list import UID_DTYPE, halves_of, read_keep_list, times_listed
from diagonal_data.manifest import shard_names
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.rows import read_shard_rows
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tombstones import TAKEDOWN_COLUMNS, named_rows, read_tombstones
from diagonal_data.uid_set import packed_uids
from diagonal_data.units import Unit, units_folder
from diagonal_infra import storage
from diagonal_infra.errors import UserError

GROUP_ROWS = 500_000
"""Gathered at a time, about 1 KB each."""
UNIT_SCHEMA = ROW_SCHEMA.append(pa.field("shard", pa.string())).append(pa.field("copy", pa.int32()))
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The samples in their new order: number of the source shard, row in its table, copy."""

    shards: list[str]
    shard: np.ndarray
    row: np.ndarray
    copy: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.row)


def plan_copies(config: ReshardConfig) -> Plan:
    """The plan of all copies.

    Raises:
        UserError: no such dataset or filter, or nothing is kept.
    """
    names, stones = shard_names(config.dataset), read_tombstones(config.dataset)
    keep = None if config.filter is None else read_keep_list(config.dataset, config.filter)
    parts = []
    for number, name in enumerate(names):
        table = read_shard_rows(config.dataset, name, [*TAKEDOWN_COLUMNS, "status"])
        stored = np.array([status == "success" for status in table["status"].to_pylist()], bool)
        rows = np.flatnonzero(stored & ~named_rows(stones, table))
        uids = packed_uids(table["uid"])[rows].view(">u8").astype("u8").view(UID_DTYPE)
        times = np.ones(len(rows), int) if keep is None else times_listed(uids, keep)
        copies = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        repeated = np.repeat(np.arange(len(rows)), times)
        shard = np.full(len(repeated), number, np.int32)
        parts.append((shard, rows[repeated].astype(np.int32), copies.astype(np.int32)))
        parts[-1] += (halves_of(uids)[repeated],)
    shard, row, copy, halves = (np.concatenate(part) for part in zip(*parts, strict=True))
    _check_found(config, listed=None if keep is None else len(keep), found=len(row))
    if config.seed is not None:
        order = shuffled(halves, copy, config.seed)
        shard, row, copy, halves = shard[order], row[order], copy[order], halves[order]
    content = hashlib.sha256(np.ascontiguousarray(halves).tobytes())
    content.update(copy.tobytes())
    return Plan(shards=names, shard=shard, row=row, copy=copy, digest=content.hexdigest())


def _check_found(config: ReshardConfig, *, listed: int | None, found: int) -> None:
    if not found:
        raise UserError(
            f"nothing to copy: filter {config.filter!r} keeps no sample of {config.dataset!r} "
            "that is stored and not taken down; make the filter again for this dataset"
        )
    if listed is not None and found < listed:
        logger.warning(
            "entries of the keep list are not in the dataset, or taken down listed=%d copied=%d",
            *(listed, found),
        )


def shuffled(halves: np.ndarray, copies: np.ndarray, seed: int) -> np.ndarray:
    """The places of uids (N×2 uint64) and copies in the order of their hash with the seed."""
    salt = _mixed(copies.astype(np.uint64) + np.uint64(seed))
    key = _mixed(halves[:, 1] ^ salt)
    return np.lexsort((copies, halves[:, 1], halves[:, 0], key))


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al., 2014), modulo 2^64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def write_units(config: ReshardConfig, plan: Plan, finished: Sequence[str]) -> list[Unit]:
    """The unit of each new shard that is not finished, its file written."""
    folder = units_folder(config.output)
    storage.delete_partials(folder)
    written = set(storage.list_files(folder, ".parquet"))
    count = -(-len(plan) // config.samples_per_shard)
    units = [
        Unit(shard=name, path=storage.join(folder, f"{name}.parquet"))
        for name in (f"{number:08d}" for number in range(count))
        if name not in finished
    ]
    to_write = [unit for unit in units if f"{unit.shard}.parquet" not in written]
    step = max(1, GROUP_ROWS // config.samples_per_shard)
    for first in range(0, len(to_write), step):
        group = to_write[first : first + step]
        spans = [_span(plan, int(unit.shard), config.samples_per_shard) for unit in group]
        rows = gather_rows(config.dataset, plan, np.concatenate(spans))
        start = 0
        for unit, span in zip(group, spans, strict=True):
            with storage.write_whole(unit.path) as file:
                pq.write_table(rows.slice(start, len(span)), file)
            start += len(span)
    return units


def _span(plan: Plan, number: int, size: int) -> np.ndarray:
    return np.arange(number * size, min((number + 1) * size, len(plan)))


def gather_rows(dataset: str, plan: Plan, places: np.ndarray) -> pa.Table:
    """The rows at these places of the plan; each source table is read once."""
    shard = plan.shard[places]
    order = np.argsort(shard, kind="stable")
    tables = []
    for number in np.unique(shard):
        here = places[order[shard[order] == number]]
        name = plan.shards[number]
        table = read_shard_rows(dataset, name, ROW_SCHEMA.names).take(pa.array(plan.row[here]))
        table = table.append_column("shard", pa.array([name] * len(here), pa.string()))
        tables.append(table.append_column("copy", pa.array(plan.copy[here])))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    gathered = pa.concat_tables(tables).combine_chunks().take(pa.array(back))
    return gathered.select(UNIT_SCHEMA.names).cast(UNIT_SCHEMA)
