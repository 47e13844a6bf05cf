"""Foreign tars (img2dataset, DataComp, open_clip style) as an index.

    pattern ─► tars with size and mark ─► scan of each ─► uids ─► IndexTable

A sample's uid is its key. Where a key stands several times in the set, the shard's name goes
before it: for each of these samples, so that a uid does not depend on the order of the shards.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath

import braceexpand
import numpy as np
import pyarrow as pa

from diagonal_infra import log, storage
from diagonal_infra.errors import UserError
from diagonal_train.streaming.index_cache import (
    COLUMNS,
    FORMAT_VERSION,
    IndexTable,
    ShardFile,
    cached,
    value_buffers,
)
from diagonal_train.streaming.tar_scan import TarScan, scan_tar, shard_file

SUFFIX = ".tar"
REQUESTS = 16
"""In flight to a store. Local tars are scanned one after the other: the work is Python's."""
REMEDIES = {
    "image_missing": "no jpg, jpeg, png or webp among their members",
    "caption_missing": "no member of --stream.captions",
    "tar_broken": "cut or damaged; the samples before that are used",
    "shard_empty": "no usable sample",
}
"""What each cause means, for the log."""
logger = logging.getLogger(__name__)


def names_tars(data: str) -> bool:
    """Whether a source is tars rather than a dataset folder.

    Raises:
        UserError: a brace that is not closed.
    """
    try:
        return any(part.endswith(SUFFIX) for part in braceexpand.braceexpand(data))
    except ValueError as error:
        raise UserError(f"unbalanced braces in {data!r}; write them as {{00..31}}") from error


def open_tars(pattern: str, captions: Sequence[str], *, cache: str | None) -> IndexTable:
    """The index of the tars that a pattern names, scanned if they are not those of last time.

    Raises:
        UserError: no file matches, or there is no usable sample.
        StorageError: a tar cannot be read.
    """
    shards = find_tars(pattern)
    texts = frozenset(member.partition(":")[0].lower() for member in captions)
    named = [[shard.path, shard.size, shard.mark] for shard in shards]
    key = json.dumps(["tars", FORMAT_VERSION, named, sorted(texts)]).encode()
    return cached(
        hashlib.sha256(key).hexdigest(),
        lambda: build_index(pattern, shards, texts),
        folder=cache,
    )


def find_tars(pattern: str) -> list[ShardFile]:
    """The tars in the pattern's order; requests to a store go out together."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        parts = list(braceexpand.braceexpand(pattern))
        paths = [path for found in pool.map(storage.expand, parts) for path in found]
        return list(pool.map(shard_file, paths))


def build_index(pattern: str, shards: list[ShardFile], texts: frozenset[str]) -> IndexTable:
    """Scan the tars and join what is in them.

    Raises:
        UserError: there is no usable sample.
    """
    begin = time.monotonic()
    scans = scan_all(shards, texts)
    skipped = sum((scan.skipped for scan in scans), Counter[str]())
    _warn_of_skipped(shards, scans)
    counts = [len(scan.keys) for scan in scans]
    if not sum(counts):
        raise UserError(
            f"nothing to train on: the {len(shards)} tars of {pattern!r} hold no sample with an "
            f"image and a member {'/'.join(sorted(texts))}, skipped: {dict(skipped)}; "
            "check the pattern or set --stream.captions"
        )
    seconds = time.monotonic() - begin
    logger.info(
        "tars indexed shards=%d samples=%d skipped=%d seconds=%.1f samples_per_second=%.0f",
        *(len(shards), sum(counts), skipped.total(), seconds, sum(counts) / seconds),
    )
    shard = np.repeat(np.arange(len(shards), dtype=np.int32), counts)
    offset = np.concatenate([np.array(scan.offsets, np.int64) for scan in scans])
    length = np.concatenate([np.array(scan.lengths, np.int64) for scan in scans])
    keys = pa.chunked_array([pa.array(scan.keys, pa.large_string()) for scan in scans])
    uids = unique_uids(keys.combine_chunks(), shard, [file.path for file in shards])
    columns = [shard, np.zeros_like(shard), offset, length, uids]
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], list(COLUMNS))
    return IndexTable(shards=shards, columns=batch, digest=_digest(batch))


def scan_all(shards: list[ShardFile], texts: frozenset[str]) -> list[TarScan]:
    """A scan of each tar, in order."""
    scan = partial(scan_tar, texts=texts)
    logger.info("indexing tars shards=%d first=%s", len(shards), shards[0].path)
    is_local = all(storage.local_path(shard.path) is not None for shard in shards)
    with ThreadPoolExecutor(1 if is_local else REQUESTS) as pool, log.progress() as bar:
        task = bar.add_task("tars", total=len(shards))
        scans = []
        try:
            for result in pool.map(scan, shards):
                scans.append(result)
                bar.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return scans


def unique_uids(keys: pa.Array, shard: np.ndarray, paths: list[str]) -> pa.Array:
    """The keys; `SHARDNAME/key` for all samples whose key stands more than once."""
    uids, names = keys, shard_names(paths)
    if (repeated := _repeated(uids)).size:
        texts = uids.to_pylist()
        for row in repeated.tolist():
            texts[row] = f"{names[shard[row]]}/{texts[row]}"
        uids = pa.array(texts, pa.large_string())
    # Twice in one shard, or in a shard that is listed twice.
    if (repeated := _repeated(uids)).size:
        texts = uids.to_pylist()
        for row in repeated.tolist():
            texts[row] = f"{texts[row]}#{row}"
        uids = pa.array(texts, pa.large_string())
    return uids


def shard_names(paths: list[str]) -> list[str]:
    """File names without `.tar`; with the folders below the common one where these repeat."""
    names = [PurePosixPath(path).stem for path in paths]
    if len(set(names)) == len(set(paths)):
        return names
    parts = [path.removesuffix(SUFFIX).split("/") for path in paths]
    common = 0
    while len({tuple(part[: common + 1]) for part in parts}) == 1:
        common += 1
    return ["/".join(part[common:]) for part in parts]


def _repeated(texts: pa.Array) -> np.ndarray:
    """Rows whose text stands in another row too."""
    numbers = texts.dictionary_encode().indices.to_numpy()
    return np.flatnonzero(np.bincount(numbers)[numbers] > 1)


def _digest(batch: pa.RecordBatch) -> str:
    """SHA-256 over what the samples are and where they lie in which shard, wherever that is."""
    content = hashlib.sha256()
    for name in ("shard", "offset", "length", "uid"):
        for part in value_buffers(batch[name]):
            content.update(part)
    return content.hexdigest()


def _warn_of_skipped(shards: list[ShardFile], scans: list[TarScan]) -> None:
    """One warning for each cause, with the first shard in which it was met."""
    total, first = Counter[str](), {}
    for shard, scan in zip(shards, scans, strict=True):
        causes = scan.skipped if scan.keys else scan.skipped + Counter(shard_empty=1)
        total.update(causes)
        for cause in causes:
            first.setdefault(cause, shard.path)
    for cause, count in total.items():
        logger.warning(
            "skipped in tars cause=%s (%s) count=%d first=%s",
            *(cause, REMEDIES[cause], count, first[cause]),
        )
