"""A takedown: tombstones, the rows they name, a line in the log.

    1  write the tombstones as asked: from now on every reader and every unit of a build sees them
    2  look for the rows they name, and write the uids of these too: readers need one column only,
       and what only a picture or a redirect told does not come back with a rebuild
    3  write the log

A kill leaves the tombstones that are written; the same command again does the rest.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import (
    ShardInfo,
    finished_shards,
    info_from,
    read_manifest,
    shards_folder,
)
from diagonal_data.rows import read_shard_rows
from diagonal_data.takedown import ledger
from diagonal_data.takedown.config import TakedownConfig
from diagonal_data.takedown.selectors import read_selectors
from diagonal_data.tombstones import (
    KINDS,
    TAKEDOWN_COLUMNS,
    TOMBSTONE_SCHEMA,
    is_in,
    matches,
    named_rows,
    read_tombstones,
    tombstones_path,
)
from diagonal_infra import storage

UNKNOWN = {"candidates": 0, "samples": 0, "bytes": 0, "sha256": ""}
"""Of a shard, where another program wrote the manifest."""
ROW_COLUMNS = (*TAKEDOWN_COLUMNS, "caption", "status", "tar_bytes")


@dataclass(kw_only=True)
class Found:
    """What a request named."""

    given: dict[str, int] = field(default_factory=dict)
    """Selectors by kind."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Those of them that name no row of the dataset."""
    uids: list[str] = field(default_factory=list)
    """Of the rows that are named."""
    samples: int = 0
    """Rows among them that have a picture in the shards."""


def take_down(config: TakedownConfig) -> Found:
    """Do what is asked, or with `dry_run` count only.

    Raises:
        UserError: nothing is done: no dataset, a store that cannot be written to, a malformed
            entry.
    """
    asked = read_selectors(config)
    read_manifest(config.dataset)
    if config.dry_run:
        return find(config.dataset, asked)
    with ledger.turn(config.dataset):
        request = ledger.new_id()
        add_tombstones(config.dataset, asked, request)
        found = find(config.dataset, asked)
        add_tombstones(config.dataset, uid_stones(found.uids), request)
        salt = secrets.token_hex(16)
        selectors = {kind: _told(asked, kind, found, salt) for kind in found.given}
        entry = {"id": request, "action": "takedown", "by": ledger.signer(config.by)}
        entry |= {"reason": config.reason, "salt": salt, "selectors": selectors}
        entry |= {"rows": len(found.uids), "samples": found.samples}
        ledger.append(config.dataset, entry)
        return found


def find(dataset: str, asked: pa.Table) -> Found:
    """The rows of all finished shards that these tombstones name."""
    listed = {kind: asked[kind].drop_null().to_pylist() for kind in KINDS}
    result = Found(given={kind: len(values) for kind, values in listed.items() if values})
    seen: dict[str, set] = {kind: set() for kind in result.given}
    for shard in all_shards(dataset):
        rows = read_shard_rows(dataset, shard, ROW_COLUMNS)
        mask = np.zeros(rows.num_rows, dtype=bool)
        for kind, match in matches(asked, rows).items():
            mask |= match.mask
            seen[kind] |= match.found
        chosen = rows.filter(pa.array(mask))
        result.uids += chosen["uid"].to_pylist()
        result.samples += sum(status == "success" for status in chosen["status"].to_pylist())
    result.unknown = {kind: len(set(listed[kind]) - seen[kind]) for kind in result.given}
    return result


def content_left(rows: pa.Table) -> np.ndarray:
    """Mask of the rows that tell more than that they were taken down."""
    told = ~is_in(rows["url"], [""]) | ~is_in(rows["caption"], [""])
    return told | np.asarray(rows["tar_bytes"].is_valid())


def not_compacted(dataset: str, tombstones: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The shards with rows that are taken down and still in the files, and these rows."""
    for shard in all_shards(dataset):
        rows = read_shard_rows(dataset, shard, ROW_COLUMNS)
        mask = named_rows(tombstones, rows) & content_left(rows)
        if mask.any():
            yield shard, rows.filter(pa.array(mask))


def all_shards(dataset: str) -> dict[str, ShardInfo]:
    """Finished shards by name, in order: those of a build meanwhile too; not what was removed."""
    listed = [info_from(UNKNOWN | shard) for shard in read_manifest(dataset)["shards"]]
    tables = set(storage.list_files(shards_folder(dataset), ".parquet"))
    found = {info.name: info for info in listed if f"{info.name}.parquet" in tables}
    found |= finished_shards(dataset)
    return {name: found[name] for name in sorted(found)}


def add_tombstones(dataset: str, new: pa.Table, request: str) -> None:
    """Those that are not there yet, in one write; the caller has its turn."""
    known = read_tombstones(dataset)
    mask = np.zeros(new.num_rows, dtype=bool)
    for kind in (kind for kind in KINDS if kind != "phash"):
        mask |= np.asarray(new[kind].is_valid()) & ~is_in(new[kind], known[kind].drop_null())
    pairs = {(s["phash"], s["phash_distance"]) for s in known.select(PHASH).to_pylist()}
    near = [(s["phash"], s["phash_distance"]) for s in new.select(PHASH).to_pylist()]
    mask |= np.array([pair[0] is not None and pair not in pairs for pair in near], dtype=bool)
    fresh = new.filter(pa.array(mask))
    if not fresh.num_rows:
        return
    place = TOMBSTONE_SCHEMA.get_field_index("request")
    fresh = fresh.set_column(place, "request", pa.array([request] * fresh.num_rows, pa.string()))
    with storage.write_whole(tombstones_path(dataset)) as file:
        pq.write_table(pa.concat_tables([known, fresh.cast(TOMBSTONE_SCHEMA)]), file)


PHASH = ["phash", "phash_distance"]


def uid_stones(uids: list[str]) -> pa.Table:
    """A tombstone for each uid."""
    rows = [{"uid": uid} for uid in dict.fromkeys(uids)]
    return pa.Table.from_pylist(rows, schema=TOMBSTONE_SCHEMA)


def _told(asked: pa.Table, kind: str, found: Found, salt: str) -> dict[str, object]:
    values = asked[kind].drop_null().to_pylist()
    told: dict[str, object] = {"given": len(values), "unknown": found.unknown[kind]}
    if len(values) <= ledger.MAX_HASHES:
        told["salted_sha256"] = ledger.salted(kind, values, salt)
    return told
