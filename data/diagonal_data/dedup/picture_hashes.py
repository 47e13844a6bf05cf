"""PDQ hashes of a dataset's stored pictures: computed once, kept as a score set.

    DATASET/scores/pdq/stored/SHARD.parquet    uid, hash (32 bytes), quality (0–100)

A picture that is taken down or cannot be read has no hash and the quality 0.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pyarrow as pa

from diagonal_data.dedup.pdq import Pdq, as_words, pdq
from diagonal_data.dedup.stored_rows import (
    TAKEN_DOWN,
    StoredRows,
    digest_of,
    read_scores,
    read_shard_rows,
)
from diagonal_data.manifest import read_manifest, shards_folder
from diagonal_data.score_sets import ScoreSet
from diagonal_data.tar import IMAGE_EXTENSIONS, parse_sample
from diagonal_infra import log, storage

SCHEMA = pa.schema([("uid", pa.string()), ("hash", pa.binary(32)), ("quality", pa.int8())])
NO_HASH = Pdq(hash=bytes(32), quality=0)
logger = logging.getLogger(__name__)


def hash_set(dataset: str) -> ScoreSet:
    """The score set of the hashes."""
    return ScoreSet(dataset=dataset, kind="pdq", name="stored")


def write_missing(dataset: str) -> None:
    """Hash the pictures of every shard that is not done; a kill costs the shard in hand."""
    result = hash_set(dataset)
    sources = {s["name"]: digest_of("pdq 1", s["sha256"]) for s in read_manifest(dataset)["shards"]}
    missing = [shard for shard, source in sources.items() if not result.is_current(shard, source)]
    with log.progress() as bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        for shard in bar.track(missing, description="hashing pictures"):
            rows = read_shard_rows(dataset, shard, ["uid", "tar_offset", "tar_bytes"])
            found = list(threads.map(_hash, read_pictures(dataset, shard, rows)))
            unread = sum(one is None for one in found) - int(np.sum(rows[TAKEN_DOWN].to_numpy()))
            if unread:
                logger.warning("pictures not read shard=%s count=%d", shard, unread)
            hashes = [one or NO_HASH for one in found]
            columns = [rows["uid"], [one.hash for one in hashes], [one.quality for one in hashes]]
            result.write(shard, pa.table(columns, schema=SCHEMA), sources[shard])


def read_hashes(stored: StoredRows, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Hashes as N×4 uint64, and qualities."""
    label = hash_set(dataset).label
    hashes = read_scores(stored, dataset, f"{label}.hash").to_pylist()
    return as_words(hashes), read_scores(stored, dataset, f"{label}.quality").to_numpy()


def read_pictures(dataset: str, shard: str, rows: pa.Table) -> list[bytes]:
    """The stored picture of each row, empty for one that is taken down or has none."""
    pictures = []
    with storage.open_read(storage.join(shards_folder(dataset), f"{shard}.tar")) as file:
        for row in rows.to_pylist():
            file.seek(row["tar_offset"])
            gone = row[TAKEN_DOWN]
            pictures.append(b"" if gone else _image_in(file.read(row["tar_bytes"])))
    return pictures


def _image_in(content: bytes) -> bytes:
    try:
        members = parse_sample(content).members
    except ValueError:
        return b""
    return next((members[name] for name in IMAGE_EXTENSIONS if name in members), b"")


def _hash(picture: bytes) -> Pdq | None:
    if not picture:
        return None
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if grey is None else pdq(grey)
