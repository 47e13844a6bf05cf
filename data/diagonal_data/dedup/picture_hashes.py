"""PDQ hashes of a dataset's stored pictures: computed once, kept as a score set.

    DATASET/scores/pdq/stored/SHARD.parquet    uid, hash (32 bytes), quality (0–100),
                                               colours (8×8 cells of RGB, 192 bytes)

A picture that is taken down or cannot be read has zeros and the quality 0.
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

CELLS = 8
COLOUR_BYTES = 3 * CELLS * CELLS
SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("hash", pa.binary(32)),
        ("quality", pa.int8()),
        ("colours", pa.binary(COLOUR_BYTES)),
    ]
)
NO_HASH = (Pdq(hash=bytes(32), quality=0), bytes(COLOUR_BYTES))
logger = logging.getLogger(__name__)


def hash_set(dataset: str) -> ScoreSet:
    """The score set of the hashes."""
    return ScoreSet(dataset=dataset, kind="pdq", name="stored")


def write_missing(dataset: str) -> None:
    """Hash the pictures of every shard that is not done; a kill costs the shard in hand."""
    result = hash_set(dataset)
    sources = {s["name"]: digest_of("pdq 2", s["sha256"]) for s in read_manifest(dataset)["shards"]}
    missing = [shard for shard, source in sources.items() if not result.is_current(shard, source)]
    with log.progress() as bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        for shard in bar.track(missing, description="hashing pictures"):
            rows = read_shard_rows(dataset, shard, ["uid", "tar_offset", "tar_bytes"])
            found = list(threads.map(_hash, read_pictures(dataset, shard, rows)))
            unread = sum(one is None for one in found) - int(np.sum(rows[TAKEN_DOWN].to_numpy()))
            if unread:
                logger.warning("pictures not read shard=%s count=%d", shard, unread)
            records = [
                {"uid": uid, **hashed._asdict(), "colours": colours}
                for uid, (hashed, colours) in zip(
                    rows["uid"].to_pylist(), (one or NO_HASH for one in found), strict=True
                )
            ]
            result.write(shard, pa.Table.from_pylist(records, schema=SCHEMA), sources[shard])


def read_hashes(stored: StoredRows, dataset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes as N×4 uint64, qualities, and colours as N×192 bytes."""
    label = hash_set(dataset).label
    hashes = read_scores(stored, dataset, f"{label}.hash").to_pylist()
    quality = read_scores(stored, dataset, f"{label}.quality").to_numpy()
    colours = b"".join(read_scores(stored, dataset, f"{label}.colours").to_pylist())
    return as_words(hashes), quality, np.frombuffer(colours, np.uint8).reshape(-1, COLOUR_BYTES)


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


def _hash(picture: bytes) -> tuple[Pdq, bytes] | None:
    if not picture:
        return None
    bgr = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        return None
    pixels = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return pdq(pixels), colours_of(pixels)


def colours_of(pixels: np.ndarray) -> bytes:
    """The means of 8×8 cells of RGB pixels, row by row."""
    return cv2.resize(pixels, (CELLS, CELLS), interpolation=cv2.INTER_AREA).tobytes()
