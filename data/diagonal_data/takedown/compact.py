"""Rewrite the touched shards without what was taken down; to be run again after a kill.

1  tombstones       the uids of all rows that will tell nothing afterwards
2  compacting.json  the shards to rewrite: what a killed compaction has begun
3  shards           one after the other (rewriting.py), then the manifest, once
4  leftovers        plans, retry lists, reports
5  the log; compacting.json goes
"""

import json
import logging

import pyarrow as pa

from diagonal_data.manifest import Manifest, passes_of, read_manifest, shards_folder
from diagonal_data.rows import Superseded
from diagonal_data.takedown import ledger, leftovers
from diagonal_data.takedown.config import CompactConfig
from diagonal_data.takedown.requests import add_tombstones, all_shards, not_compacted, uid_stones
from diagonal_data.takedown.rewriting import rewrite_shard
from diagonal_data.tombstones import read_tombstones
from diagonal_infra import log, run_dir, storage
from diagonal_infra.errors import DiagonalError, UnitError

logger = logging.getLogger(__name__)


def compact(config: CompactConfig) -> int:
    """Returns the number of shards rewritten.

    Raises:
        UserError: no dataset, a store that cannot be written to, or a build that is running.
        UnitError: some shards could not be rewritten; the others are.
    """
    dataset = config.dataset
    read_manifest(dataset)
    storage.check_writable(dataset)
    with storage.sole_writer(dataset), ledger.turn(dataset):
        storage.delete_partials(shards_folder(dataset))
        stones = read_tombstones(dataset)
        request = ledger.new_id()
        rows = dict(not_compacted(dataset, stones))
        uids = [uid for table in rows.values() for uid in table["uid"].to_pylist()]
        planned = leftovers.planned_uids(dataset, stones)
        add_tombstones(dataset, uid_stones([*uids, *planned]), request)
        shards = sorted({*rows, *_begun(dataset)})
        _note_begun(dataset, shards)
        failed = _rewrite(dataset, shards)
        leftovers.blank_plans(dataset, read_tombstones(dataset))
        if shards:
            leftovers.delete_reports(dataset)
            leftovers.delete_indexes(dataset)
        if shards or planned:
            samples = sum(_samples(rows[name]) for name in rows if name not in failed)
            entry = {"id": request, "action": "compact", "by": ledger.signer(config.by)}
            entry |= {"shards": len(shards) - len(failed), "rows": len(uids), "samples": samples}
            ledger.append(dataset, entry | {"failed": failed})
        _note_begun(dataset, failed)
    if failed:
        raise UnitError(
            f"{len(failed)} of {len(shards)} shards were not rewritten: {', '.join(failed[:50])}; "
            "the log has the causes. What was taken down is still in their files"
        )
    return len(shards)


def _rewrite(dataset: str, shards: list[str]) -> list[str]:
    """The names of those that failed; the others are done, and in the manifest."""
    if not shards:
        return []
    stones, infos = read_tombstones(dataset), all_shards(dataset)
    superseded = Superseded(dataset, passes_of(infos.values()))
    failed = []
    with log.progress() as progress:
        for name in progress.track(shards, description="compact"):
            try:
                infos[name] = rewrite_shard(dataset, infos[name], stones, superseded)
            except (DiagonalError, OSError, pa.ArrowException) as error:
                logger.error("shard not rewritten shard=%s error=%s", name, error)
                failed.append(name)
    record = read_manifest(dataset)
    known = {"config": record.get("config"), "code_revision": record.get("code_revision")}
    Manifest(
        dataset=dataset,
        settings=record.get("settings", {}),
        record={key: value for key, value in known.items() if value is not None},
        shards=infos,
    ).write()
    return failed


def _samples(rows: pa.Table) -> int:
    return sum(status == "success" for status in rows["status"].to_pylist())


def _begun_path(dataset: str) -> str:
    return storage.join(ledger.folder_of(dataset), "compacting.json")


def _begun(dataset: str) -> list[str]:
    """Shards that a killed compaction may have left between two files."""
    path = _begun_path(dataset)
    return json.loads(storage.read_bytes(path))["shards"] if storage.exists(path) else []


def _note_begun(dataset: str, shards: list[str]) -> None:
    if shards:
        storage.write_bytes(_begun_path(dataset), run_dir.to_json({"shards": shards}))
    else:
        storage.delete(_begun_path(dataset))
