"""SemDeDup's statistic (Abbas et al., 2023): how near is the nearest row before this one.

    k-means on the sphere ─► in each cluster, rows by similarity to the centroid, the lowest first
    ─► m_i = max of sim(i, j) over the rows j before i

Stored is m_i, never a decision: a filter keeps `semantic_max_similarity <= 1 - ε`, for any ε, and
the rows that are least like their cluster stay. A row with nothing before it, or without an
embedding, has -1; the latter's cluster is null. Blind spot: rows of two clusters are not compared.

    DATASET/scores/dedup/NAME/centroids.npz    appears whole, so a killed run goes on behind k-means

Shape suffixes: N rows, K clusters, D embedding width.
"""

import importlib
import io
import logging
import zipfile
from types import ModuleType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.dedup.config import SemanticConfig
from diagonal_data.dedup.embeddings import embedding_sources, read_all
from diagonal_data.dedup.stored_rows import (
    missing_shards,
    read_stored_rows,
    source_of,
    write_columns,
)
from diagonal_data.manifest import shard_names
from diagonal_data.score_sets import ScoreSet
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError

ROWS_PER_CLUSTER = 1_000
MAX_ROWS_PER_CENTROID = 256
"""More do not move a centroid; faiss takes a sample."""
BLOCK = 2_048
"""Rows that are compared with as many at once."""
NOTHING_BEFORE = -1.0
logger = logging.getLogger(__name__)


def write_similarities(config: SemanticConfig) -> str | None:
    """Write the score set; what was found, or None if everything was there.

    Raises:
        UserError: no dataset or shard, or embeddings that are missing or of something else.
    """
    sources = embedding_sources(config.dataset, config.embeddings, shard_names(config.dataset))
    settings = [config.embeddings, config.clusters, config.iterations, config.seed]
    source = source_of(config.dataset, "semantic 1", settings, sources)
    result = ScoreSet(dataset=config.dataset, kind="dedup", name=config.name)
    if not missing_shards(result, source):
        return None
    stored = read_stored_rows(config.dataset, [], "semantic copies")
    image_ND = read_all(stored, config.dataset, config.embeddings)
    rows = np.flatnonzero(image_ND.any(axis=1))
    clusters = np.full(len(image_ND), -1, np.int32)
    similarity = np.full(len(image_ND), NOTHING_BEFORE, np.float32)
    if len(rows):
        centroids_KD = _centroids(config, result, image_ND, rows, source)
        clusters[rows], nearness = assign(image_ND[rows], centroids_KD)
        similarity[rows] = max_similarity_before(image_ND[rows], clusters[rows], nearness)
    columns = {
        "semantic_cluster": pa.array(clusters, mask=clusters < 0),
        "semantic_max_similarity": pa.array(similarity),
    }
    write_columns(result, stored, source, columns)
    shares = ", ".join(f"{(similarity > 1 - e).mean():.1%} above {1 - e}" for e in (0.05, 0.03))
    return f"{len(rows):,} of {len(image_ND):,} samples compared; {shares}: {result.label}"


def _centroids(
    config: SemanticConfig, result: ScoreSet, image_ND: np.ndarray, rows: np.ndarray, source: str
) -> NDArray[np.float32]:
    """Those that an earlier run of the same source has left, or new ones."""
    path = storage.join(result.folder, "centroids.npz")
    if storage.exists(path):
        try:
            with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as arrays:
                if str(arrays["source"]) == source:
                    return arrays["centroids"]
        except (zipfile.BadZipFile, ValueError, KeyError):
            logger.warning("centroids cannot be read, computing new ones path=%s", path)
    number = min(config.clusters or max(1, len(rows) // ROWS_PER_CLUSTER), len(rows))
    centroids_KD = spherical_k_means(
        image_ND, rows, number, iterations=config.iterations, seed=config.seed
    )
    with storage.write_whole(path) as file:
        np.savez(file, centroids=centroids_KD, source=np.array(source))
    return centroids_KD


def spherical_k_means(
    image_ND: np.ndarray, rows: np.ndarray, number: int, *, iterations: int, seed: int
) -> NDArray[np.float32]:
    """Centroids of length 1, of a sample of the rows."""
    rng = np.random.default_rng(seed)
    most = number * MAX_ROWS_PER_CENTROID
    chosen = rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
    kmeans = _faiss().Kmeans(
        image_ND.shape[1],
        number,
        niter=1,
        seed=seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=MAX_ROWS_PER_CENTROID,
    )
    sample_ND = image_ND[chosen].astype(np.float32)
    centroids_KD = None
    with log.progress() as bar:
        for _ in bar.track(range(iterations), description=f"k-means of {number:,} clusters"):
            kmeans.train(sample_ND, init_centroids=centroids_KD)
            centroids_KD = kmeans.centroids
    assert centroids_KD is not None
    return centroids_KD


def assign(
    image_ND: np.ndarray, centroids_KD: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest centroid of each row, and its similarity."""
    index = _faiss().IndexFlatIP(centroids_KD.shape[1])
    index.add(centroids_KD)
    clusters = np.empty(len(image_ND), np.int32)
    nearness = np.empty(len(image_ND), np.float32)
    step = 1 << 14
    with log.progress() as bar:
        starts = range(0, len(image_ND), step)
        for start in bar.track(starts, description="assigning clusters"):
            part = image_ND[start : start + step].astype(np.float32)
            similar, nearest = index.search(part, 1)
            clusters[start : start + step] = nearest[:, 0]
            nearness[start : start + step] = similar[:, 0]
    return clusters, nearness


def max_similarity_before(
    image_ND: np.ndarray, clusters: np.ndarray, nearness: np.ndarray
) -> NDArray[np.float32]:
    """m_i of every row; of rows equally near to their centroid the first comes first."""
    found = np.full(len(image_ND), NOTHING_BEFORE, np.float32)
    order = np.lexsort((np.arange(len(clusters)), nearness, clusters))
    cuts = np.flatnonzero(np.diff(clusters[order])) + 1
    with log.progress() as bar:
        for rows in bar.track(np.split(order, cuts), description="comparing rows"):
            found[rows] = _max_before(image_ND[rows].astype(np.float32))
    return found


def _max_before(rows_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.full(len(rows_ND), NOTHING_BEFORE, np.float32)
    for start in range(0, len(rows_ND), BLOCK):
        part = rows_ND[start : start + BLOCK]
        here = found[start : start + BLOCK]
        for before in range(0, start, BLOCK):
            similar = part @ rows_ND[before : before + BLOCK].T
            np.maximum(here, similar.max(axis=1), out=here)
        is_before = np.tri(len(part), k=-1, dtype=bool)
        own = np.where(is_before, part @ part.T, NOTHING_BEFORE)
        np.maximum(here, own.max(axis=1), out=here)
    return np.clip(found, -1, 1)


def _faiss() -> ModuleType:
    """Imported when it is used: everything else works without the `dedup` extra."""
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise UserError(
            "k-means is done by faiss, which is not installed; "
            "run 'make setup' or install it with 'pip install faiss-cpu'"
        ) from error
