"""What shows taken-down content beside the shards: plans, retry lists, reports, indexes, the cache.

    DATASET/units/*.parquet, retries/*.parquet   rows keep their uid, by which a build passes them
    DATASET/filters/NAME/report.html             has pictures: removed; make the filter again
    DATASET/embeddings/NAME/index-*.faiss        has their vectors: removed; a search builds it anew
    DATASET/cache/                               has their columns: removed; a filter fills it anew

Candidate files lie elsewhere and may feed other datasets: they are not touched. A build passes over
what a tombstone names.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.filters.cache import cache_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.takedown.rewriting import blanked
from diagonal_data.tombstones import named_rows
from diagonal_infra import storage


def planned_uids(dataset: str, tombstones: pa.Table) -> list[str]:
    """Uids of planned candidates that are taken down and whose content still stands there."""
    uids: list[str] = []
    for _, table, mask in _plans(dataset, tombstones):
        uids += table["uid"].filter(pa.array(mask)).to_pylist()
    return uids


def blank_plans(dataset: str, tombstones: pa.Table) -> None:
    """Empty the rows of plans and retry lists; the caller has written their uids as tombstones."""
    for path, table, mask in _plans(dataset, tombstones):
        with storage.write_whole(path) as file:
            pq.write_table(blanked(table, mask, np.zeros(len(mask), dtype=bool)), file)


def delete_reports(dataset: str) -> None:
    """Remove the filters' reports."""
    filters = storage.join(dataset, "filters")
    for name in storage.list_folders(filters):
        storage.delete(storage.join(filters, name, "report.html"))


def delete_indexes(dataset: str) -> None:
    """Remove the indexes of `diagonal_eval.retrieval search`, and the columns that filters keep."""
    storage.delete_tree(cache_folder(dataset))
    embeddings = storage.join(dataset, "embeddings")
    for name in storage.list_folders(embeddings):
        folder = storage.join(embeddings, name)
        for index in storage.list_files(folder, ".faiss"):
            storage.delete(storage.join(folder, index))


def _plans(dataset: str, tombstones: pa.Table) -> Iterator[tuple[str, pa.Table, np.ndarray]]:
    """Path, table and mask of the rows to empty, of the files that have any."""
    for kind in ("units", "retries"):
        folder = storage.join(dataset, kind)
        for name in storage.list_files(folder, ".parquet"):
            table = read_parquet(storage.join(folder, name))
            told = [(url or caption) != "" for url, caption in _texts(table)]
            mask = named_rows(tombstones, table) & np.array(told, dtype=bool)
            if mask.any():
                yield storage.join(folder, name), table, mask


def _texts(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table["url"].to_pylist(), table["caption"].to_pylist(), strict=True)
