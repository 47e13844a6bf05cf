"""Image-based selection (Gadre et al., 2023): is a picture's nearest centroid one of the targets'?

    centroids   K × D, of the pool's own image embeddings (DataComp: 100,000, by k-means)
    targets     N × D, of the target's pictures by the same model (ImageNet's training set)

Every comparison is made, in blocks: K × D multiplications per picture. Vectors are compared by
their cosine. A picture without an embedding (zeros) has no nearest centroid.
"""

import io

import numpy as np

from diagonal_data.filters.config import Nearest
from diagonal_data.filters.inputs import check_list
from diagonal_data.filters.keep_list import pack_uids, times_listed
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.rules import DropReason
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError

BLOCK = 1024
NONE = -1


def drop_far(pool: Pool, rule: Nearest) -> None:
    """Drop samples whose nearest centroid no target has.

    Raises:
        UserError: a file is missing or does not fit the others.
    """
    if not rule.embeddings:
        return
    centroids = _matrix(rule.centroids, "--nearest.centroids")
    targets = _matrix(rule.targets, "--nearest.targets")
    _check_width(rule.targets, targets, centroids)
    wanted = np.unique(nearest_centroid(targets, centroids))
    places, start = pool.kept(), 0
    with log.progress() as progress:
        for shard, rows in progress.track(pool.shards.items(), description="nearest centroid"):
            inside = places[(places >= start) & (places < start + rows)]
            start += rows
            found = _shard_centroids(pool, rule.embeddings, shard, inside, centroids)
            pool.drop(DropReason.NO_EMBEDDING, inside[found == NONE])
            far = (found != NONE) & ~np.isin(found, wanted)
            pool.drop(DropReason.FAR_FROM_TARGETS, inside[far])


def nearest_centroid(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Number of the centroid with the greatest cosine, the first of equals; -1 for zeros."""
    unit = _unit(centroids)
    found = np.full(len(vectors), NONE, np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = _unit(vectors[start : start + BLOCK])
        known = block.any(axis=1)
        found[start : start + BLOCK][known] = (block[known] @ unit.T).argmax(axis=1)
    return found


def _shard_centroids(
    pool: Pool, name: str, shard: str, places: np.ndarray, centroids: np.ndarray
) -> np.ndarray:
    path = storage.join(pool.dataset, "embeddings", name, f"{shard}.npz")
    if not storage.exists(path):
        raise UserError(
            f"no embeddings {name!r} of shard {shard} ({path}); make them with "
            f"'python -m diagonal_eval.scores clip --dataset {pool.dataset} --model MODEL', and "
            "name them with --nearest.embeddings"
        )
    with np.load(io.BytesIO(storage.read_bytes(path))) as file:
        uids, vectors = pack_uids([str(uid) for uid in file["uid"]]), file["image"]
    _check_width(path, vectors, centroids)
    order = np.lexsort((uids["f1"], uids["f0"]))
    wanted = pool.packed(places)
    there = times_listed(wanted, uids[order]) > 0
    if not there.all():
        raise UserError(
            f"embeddings {path!r} lack samples of the shard; delete the file and score again"
        )
    rows = {tuple(uid): row for row, uid in enumerate(uids.tolist())}
    picked = vectors[[rows[uid] for uid in wanted.tolist()]]
    return nearest_centroid(picked, centroids)


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)


def _matrix(path: str, flag: str) -> np.ndarray:
    check_list(path, flag)
    try:
        matrix = np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False)
    except ValueError as error:
        raise UserError(f"{path!r} is no .npy file of numbers: {error}; check {flag}") from error
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise UserError(
            f"{path!r} holds {matrix.dtype}{matrix.shape}, not rows of numbers ({flag})"
        )
    return matrix


def _check_width(path: str, vectors: np.ndarray, centroids: np.ndarray) -> None:
    if vectors.shape[1:] != centroids.shape[1:]:
        raise UserError(
            f"{path!r} has vectors of {vectors.shape[1:]}, --nearest.centroids of "
            f"{centroids.shape[1:]}; take both from one model"
        )
