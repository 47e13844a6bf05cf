"""Copies among a dataset's samples, as score columns; nothing is dropped here.

    python -m diagonal_data.dedup exact --dataset out/d
    python -m diagonal_data.dedup perceptual --dataset out/d --max-hamming 3
    python -m diagonal_data.dedup semantic --dataset out/d --embeddings NAME

    DATASET/scores/dedup/exact/SHARD.parquet        exact_cluster, is_exact_copy
    DATASET/scores/dedup/perceptual/SHARD.parquet   perceptual_cluster, is_perceptual_copy
    DATASET/scores/dedup/semantic/SHARD.parquet     semantic_cluster, semantic_max_similarity

A cluster is named by the number of its first row in the dataset. What was taken down is compared
with nothing. Run again, the command writes what is missing; when shards, tombstones or flags have
changed, everything, because a copy is one of the whole dataset.
"""

import logging
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from diagonal_data.dedup import picture_hashes, semantic
from diagonal_data.dedup.clusters import Clusters, copies
from diagonal_data.dedup.config import CopiesConfig, ExactConfig, PerceptualConfig, SemanticConfig
from diagonal_data.dedup.duplicates import Colours, near_clusters
from diagonal_data.dedup.recipes import DEDUP
from diagonal_data.dedup.stored_rows import (
    StoredRows,
    missing_shards,
    read_scores,
    read_stored_rows,
    set_source,
    source_of,
    write_columns,
)
from diagonal_data.phash import is_flat
from diagonal_data.score_sets import ScoreSet, score_sets
from diagonal_infra import log, run_dir, storage
from diagonal_infra.cli import run_command

AREA_COLUMNS = ("original_width", "original_height")
logger = logging.getLogger(__name__)


def main(config: ExactConfig | PerceptualConfig | SemanticConfig) -> None:
    """Write what is not written yet, and say what was found.

    Raises:
        UserError: no dataset or shard, or a column, score set or embeddings that cannot be used.
    """
    if isinstance(config, SemanticConfig):
        summary = semantic.write_similarities(config)
    elif isinstance(config, PerceptualConfig):
        summary = write_perceptual(config)
    else:
        summary = write_exact(config)
    log.STDOUT.print(summary or "nothing to do: all shards are done")


def write_exact(config: ExactConfig) -> str | None:
    """Copies by digests; what was found, or None if everything was there."""
    pixel_column = _pixel_column(config.dataset)
    columns = [] if pixel_column is None else [pixel_column]
    source = _source(config, columns)
    result = ScoreSet(dataset=config.dataset, kind="dedup", name=config.name)
    if not missing_shards(result, source):
        return None
    stored = read_stored_rows(config.dataset, ["sha256", *AREA_COLUMNS], "exact copies")
    clusters = Clusters(stored.table.num_rows)
    _join_equal(clusters, stored.table["sha256"], stored.present)
    for column in columns:
        _join_equal(clusters, read_scores(stored, config.dataset, column), stored.present)
    return _write(config, result, stored, source, "exact", clusters.labels())


def _join_equal(clusters: Clusters, digests: pa.ChunkedArray, present: np.ndarray) -> None:
    """Rows with the same digest into one cluster; a null is like nothing."""
    rows = np.flatnonzero(present & digests.is_valid().to_numpy())
    if len(rows):
        codes = digests.combine_chunks().dictionary_encode().indices
        values = codes.fill_null(-1).to_numpy(zero_copy_only=False)[rows]
        _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        clusters.join(rows, rows[first[inverse]])


def _pixel_column(dataset: str) -> str | None:
    """The first `image` set's column of pixel digests, if there is one."""
    for found in score_sets(dataset):
        tables = storage.list_files(found.folder, ".parquet") if found.kind == "image" else []
        schema = found.schema(tables[0].removesuffix(".parquet")) if tables else None
        if schema is not None and "pixel_sha256" in schema.names:
            return f"{found.label}.pixel_sha256"
    return None


def write_perceptual(config: PerceptualConfig) -> str | None:
    """Copies by perceptual hashes; what was found, or None if everything was there."""
    source = _source(config, [config.distance])
    result = ScoreSet(dataset=config.dataset, kind="dedup", name=config.name)
    if not missing_shards(result, source):
        return None
    hashes_of = {"phash": _phashes, "pdq": _pdq_hashes}[config.hash]
    stored, hashes, comparable, colours = hashes_of(config)
    logger.info("comparing hashes=%d not_comparable=%d", len(hashes), int((~comparable).sum()))
    clusters = near_clusters(hashes, comparable & stored.present, config.distance, colours)
    return _write(config, result, stored, source, "perceptual", clusters)


Hashes = tuple[StoredRows, np.ndarray, np.ndarray, Colours | None]
"""Rows, their hashes, the mask of those that can be compared, and their colours if they are."""


def _phashes(config: PerceptualConfig) -> Hashes:
    stored = read_stored_rows(config.dataset, ["phash", *AREA_COLUMNS], "perceptual copies")
    hashes = stored.table["phash"].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    return stored, hashes.astype(np.uint64), ~is_flat(hashes.astype(np.uint64)), None


def _pdq_hashes(config: PerceptualConfig) -> Hashes:
    picture_hashes.write_missing(config.dataset)
    stored = read_stored_rows(config.dataset, AREA_COLUMNS, "perceptual copies")
    hashes, quality, cells = picture_hashes.read_hashes(stored, config.dataset)
    colours = Colours(cells=cells, max_difference=config.max_colour_difference)
    is_used = config.max_colour_difference < 255
    return stored, hashes, quality >= config.min_quality, colours if is_used else None


def _source(config: CopiesConfig, parts: list) -> str:
    settings = {k: v for k, v in run_dir.resolved(config).items() if k not in ("dataset", "name")}
    # What a score column was computed of stands for its values.
    columns = [config.score, *(part for part in parts if isinstance(part, str))]
    sources = [set_source(config.dataset, column) for column in columns if column is not None]
    return source_of(config.dataset, "copies 1", settings, parts, sources)


def _write(
    config: CopiesConfig,
    result: ScoreSet,
    stored: StoredRows,
    source: str,
    what: str,
    clusters: np.ndarray,
) -> str:
    is_copy = copies(clusters, _preference(config, stored))
    columns = {f"{what}_cluster": pa.array(clusters), f"is_{what}_copy": pa.array(is_copy)}
    write_columns(result, stored, source, columns)
    sizes = np.bincount(clusters, minlength=1)
    return (
        f"{int(is_copy.sum()):,} of {len(is_copy):,} samples are {what} copies, in "
        f"{int((sizes > 1).sum()):,} clusters of at most {int(sizes.max()):,}: {result.label}"
    )


def _preference(config: CopiesConfig, stored: StoredRows) -> np.ndarray:
    """The number whose highest stays."""
    preferences: dict[str, Callable[[], np.ndarray]] = {
        "largest": lambda: np.prod([_numbers(stored.table[name]) for name in AREA_COLUMNS], axis=0),
        "first": lambda: np.zeros(stored.table.num_rows),
        "best": lambda: _numbers(read_scores(stored, config.dataset, config.score or "")),
    }
    return preferences[config.keep]()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """As float64, null as NaN."""
    return column.combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)


if __name__ == "__main__":
    run_command(main, DEDUP, description=__doc__)
