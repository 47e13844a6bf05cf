"""Near-duplicates of evaluation sets in a dataset, found through an index of hashes.

    python -m diagonal_data.decontaminate index --images eval/ --set flowers --output flowers.index
    python -m diagonal_data.decontaminate mark --dataset out/d --index flowers.index

    DATASET/scores/eval_near/NAME/SHARD.parquet
        is_near      whether the row is near a picture of an evaluation set
        set          the set of the nearest; null if none is near
        distance     differing bits of phash, at most --max-hamming; null if more
        similarity   highest cosine with --embeddings; null without

Blind spots: flat pictures are near to nothing by their hash; crops are found by embeddings only.
"""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from diagonal_data.dedup.config import IndexConfig, MarkConfig
from diagonal_data.dedup.embeddings import (
    check_rows,
    embedding_source,
    read_embeddings,
    read_shard_embeddings,
)
from diagonal_data.dedup.eval_index import EvalIndex, build_index, read_index, read_pictures
from diagonal_data.dedup.eval_index import write_index as write_index_file
from diagonal_data.dedup.near_hashes import NearHashes
from diagonal_data.dedup.recipes import DECONTAMINATE
from diagonal_data.dedup.stored_rows import TAKEN_DOWN, digest_of, read_shard_rows
from diagonal_data.manifest import read_manifest, shard_names
from diagonal_data.phash import is_flat
from diagonal_data.score_sets import ScoreSet
from diagonal_infra import log, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import UserError

FAR = 255
"""Stands for the distance of rows that are near to nothing."""
ROWS_AT_ONCE = 1 << 12
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the rows are compared with: the hashes of all index files, mirrored ones too."""

    hashes: NDArray[np.uint64]
    sets: NDArray[np.int64]
    names: list[str]
    image_ND: NDArray[np.float32]
    image_sets: NDArray[np.int64]
    models: frozenset[str]


def main(config: IndexConfig | MarkConfig) -> None:
    """Write the index, or mark what is not marked yet."""
    summary = make_index(config) if isinstance(config, IndexConfig) else mark(config)
    log.STDOUT.print(summary)


def make_index(config: IndexConfig) -> str:
    """Write the index file.

    Raises:
        UserError: no pictures, or embeddings that cannot be used.
    """
    embeddings = None
    if config.embeddings is not None:
        embeddings = read_embeddings(config.embeddings, "key", "")
        if not embeddings.model:
            raise UserError(
                f"{config.embeddings!r} does not say its model; add the string array `model`"
            )
    table, refused = build_index(read_pictures(config.images), config.set, embeddings)
    if not table.num_rows:
        raise UserError(f"no picture could be read from {config.images!r}; check --images")
    if embeddings is not None and table["embedding"].null_count == table.num_rows:
        raise UserError(
            f"no `key` of {config.embeddings!r} is the name of a picture in {config.images!r}, "
            "without folder and suffix; check --embeddings"
        )
    if refused:
        logger.warning("pictures not decoded count=%d", refused)
    write_index_file(config.output, table, None if embeddings is None else embeddings.model)
    whole = table.filter(pc.field("shape") == "whole")
    flat = int(is_flat(whole["phash"].to_numpy()).sum())
    have = len(whole) - whole["embedding"].null_count
    return (
        f"{whole.num_rows:,} pictures of {config.set} ({flat:,} flat, {refused:,} not decoded, "
        f"{have:,} with embeddings): {config.output}"
    )


def mark(config: MarkConfig) -> str:
    """Write the tables that are not current; a kill costs the shard in hand.

    Raises:
        UserError: no dataset, a file that is no index, or embeddings of another model.
    """
    wanted = gather([read_index(path) for path in config.index])
    result = ScoreSet(dataset=config.dataset, kind="eval_near", name=config.name)
    sources = _sources(config)
    missing = [shard for shard, source in sources.items() if not result.is_current(shard, source)]
    rows = near = 0
    with log.progress() as bar:
        for shard in bar.track(missing, description="comparing with evaluation sets"):
            table = read_shard_rows(config.dataset, shard, ["uid", "phash"])
            columns = _columns(config, shard, table, wanted)
            result.write(shard, pa.table({"uid": table["uid"], **columns}), sources[shard])
            rows, near = rows + table.num_rows, near + int(columns["is_near"].to_numpy(False).sum())
    done = len(sources) - len(missing)
    return f"{near:,} of {rows:,} samples are near evaluation pictures (shards done before: {done})"


def _sources(config: MarkConfig) -> dict[str, str]:
    files = [hashlib.sha256(storage.read_bytes(path)).hexdigest() for path in config.index]
    settings = [config.max_hamming, config.embeddings, config.min_cosine]
    sources = {}
    shard_names(config.dataset)  # refuses a dataset without shards
    for shard in read_manifest(config.dataset)["shards"]:
        parts = [shard["name"], shard["sha256"], files, settings]
        if config.embeddings is not None:
            parts.append(embedding_source(config.dataset, config.embeddings, shard["name"]))
        sources[shard["name"]] = digest_of("eval_near 1", *parts)
    return sources


def gather(indexes: list[EvalIndex]) -> Wanted:
    """All that the indexes hold; flat pictures have no hash to compare."""
    table = pa.concat_tables([index.table for index in indexes])
    sets = table["set"].combine_chunks().dictionary_encode()
    codes = sets.indices.to_numpy().astype(np.int64)
    hashes = np.concatenate([table["phash"].to_numpy(), table["mirrored"].to_numpy()])
    usable = ~is_flat(hashes)
    has_one = table["embedding"].is_valid().to_numpy()
    lists = table["embedding"].drop_null().to_pylist()
    return Wanted(
        hashes=hashes[usable],
        sets=np.tile(codes, 2)[usable],
        names=sets.dictionary.to_pylist(),
        image_ND=np.array(lists, np.float32).reshape(len(lists), -1 if lists else 0),
        image_sets=codes[has_one],
        models=frozenset(index.model for index in indexes if index.model is not None),
    )


def _columns(
    config: MarkConfig, shard: str, table: pa.Table, wanted: Wanted
) -> dict[str, pa.Array]:
    present = ~table[TAKEN_DOWN].to_numpy()
    hashes = table["phash"].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    distance, by_hash = nearest_hash(hashes.astype(np.uint64), wanted, config.max_hamming)
    sets = by_hash
    is_near = present & (distance != FAR)
    similarity = np.full(len(hashes), np.nan, np.float32)
    if config.embeddings is not None:
        image_ND = _embeddings(config.dataset, config.embeddings, shard, table, wanted)
        similarity, by_cosine = nearest_embedding(image_ND, wanted)
        is_close = present & (similarity >= config.min_cosine)
        sets = np.where(is_near, by_hash, by_cosine)
        is_near |= is_close
    names = np.array(wanted.names, dtype=object)[sets]
    return {
        "is_near": pa.array(is_near),
        "set": pa.array(names, pa.string(), mask=~is_near),
        "distance": pa.array(distance.astype(np.int16), mask=(distance == FAR) | ~present),
        "similarity": pa.array(similarity, mask=np.isnan(similarity) | ~present),
    }


def nearest_hash(
    hashes: NDArray[np.uint64], wanted: Wanted, max_hamming: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distance and set of the nearest wanted hash; `FAR` beyond `max_hamming`."""
    distance = np.full(len(hashes), FAR)
    sets = np.zeros(len(hashes), np.int64)
    rows = np.flatnonzero(~is_flat(hashes))
    near = NearHashes(wanted.hashes, max_hamming)
    for ours, theirs, differing in near.pairs_with(hashes[rows]):
        # The farthest first, so that of several writes to a row the nearest is the last.
        order = np.argsort(-differing.astype(np.int64), kind="stable")
        better = order[differing[order] < distance[rows[ours[order]]]]
        distance[rows[ours[better]]] = differing[better]
        sets[rows[ours[better]]] = wanted.sets[theirs[better]]
    return distance, sets


def nearest_embedding(
    image_ND: NDArray[np.float16], wanted: Wanted
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cosine and set of the nearest wanted embedding; NaN for a row without one."""
    similarity = np.full(len(image_ND), np.nan, np.float32)
    sets = np.zeros(len(image_ND), np.int64)
    for start in range(0, len(image_ND), ROWS_AT_ONCE):
        part = image_ND[start : start + ROWS_AT_ONCE].astype(np.float32)
        cosine = part @ wanted.image_ND.T
        nearest = cosine.argmax(axis=1)
        rows = slice(start, start + len(part))
        highest = cosine[np.arange(len(part)), nearest]
        similarity[rows] = np.where(part.any(axis=1), highest, np.nan)
        sets[rows] = wanted.image_sets[nearest]
    return similarity, sets


def _embeddings(
    dataset: str, name: str, shard: str, table: pa.Table, wanted: Wanted
) -> NDArray[np.float16]:
    found = read_shard_embeddings(dataset, name, shard)
    check_rows(found, table["uid"], name, shard)
    models = set(wanted.models)
    if models != {found.model} or found.image_ND.shape[1] != wanted.image_ND.shape[1]:
        others = ", ".join(sorted(models)) or "no model at all"
        raise UserError(
            f"embeddings {name!r} of shard {shard} are of model {found.model!r}, the indexes hold "
            f"some of {others}; compute both with one model, or leave --embeddings out"
        )
    return found.image_ND


if __name__ == "__main__":
    run_command(main, DECONTAMINATE, description=__doc__)
