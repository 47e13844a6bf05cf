"""What is to be fetched again: a list per retry pass, fixed when the pass begins.

    DATASET/retries/0001.parquet   the candidates whose latest outcome was transient at that moment,
                                   in order, with a column `previous_reason`

A list is open until each of its rows stands in a finished shard of its pass, so a retry that was
killed is taken up where it was, and no row is asked for twice in a pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, passes_of
from diagonal_data.rows import is_listed, stream_rows
from diagonal_data.schema import CANDIDATE_SCHEMA, TRANSIENT
from diagonal_data.uid_set import UidSet, packed_uids
from diagonal_infra import storage

RETRY_SCHEMA = CANDIDATE_SCHEMA.append(pa.field("previous_reason", pa.string(), nullable=False))


@dataclass(frozen=True, kw_only=True)
class RetryList:
    """The candidates of one retry pass; passes count from 1."""

    retry_pass: int
    path: str


def open_retry_list(manifest: Manifest) -> RetryList | None:
    """The list to work on: the newest if it is open, else the next one; None: nothing to retry."""
    folder = storage.join(manifest.dataset, "retries")
    storage.delete_partials(folder)
    passes = [int(name.removesuffix(".parquet")) for name in storage.list_files(folder, ".parquet")]
    newest = max(passes, default=0)
    if newest:
        retries = RetryList(retry_pass=newest, path=storage.join(folder, f"{newest:04d}.parquet"))
        if _is_open(retries, manifest):
            return retries
    reasons = manifest.funnel().reasons
    if not any(reasons.get(reason) for reason in TRANSIENT):
        return None
    path = storage.join(folder, f"{newest + 1:04d}.parquet")
    with storage.write_whole(path) as file, pq.ParquetWriter(file, RETRY_SCHEMA) as writer:
        for table in _transient_rows(manifest):
            writer.write_table(table)
    return RetryList(retry_pass=newest + 1, path=path)


def _is_open(retries: RetryList, manifest: Manifest) -> bool:
    with storage.open_read(retries.path) as file:
        rows = pq.read_metadata(file).num_rows
    infos = manifest.shards.values()
    return rows > sum(i.candidates for i in infos if i.retry_pass == retries.retry_pass)


def _transient_rows(manifest: Manifest) -> Iterator[pa.Table]:
    """Shard by shard; a uid that an old dataset may hold twice is listed once."""
    listed = UidSet()
    transient = pa.chunked_array([[str(reason) for reason in TRANSIENT]])
    columns = [*CANDIDATE_SCHEMA.names, "reason"]
    # Retry shards are needed too: they tell which rows of the others are superseded.
    infos = [i for i in manifest.shards.values() if i.retry_pass or TRANSIENT & i.reasons.keys()]
    for _, table in stream_rows(manifest.dataset, columns, passes_of(infos)):
        rows = table.filter(pa.array(is_listed(table["reason"], transient)))
        rows = rows.filter(pa.array(listed.add(packed_uids(rows["uid"]))))
        if rows.num_rows:
            yield rows.rename_columns(RETRY_SCHEMA.names).cast(RETRY_SCHEMA)
