"""One shard without what was taken down.

    1  SHARD.tar            the samples' bytes are zeros, in a member `__taken_down__`
    2  scores, embeddings   the rows of these samples are gone
    3  SHARD.parquet        of these rows uid and key are left
    4  SHARD_stats.json     counts; the new sha256, and the one that the tar was built with

The other samples stay where they are to the byte. So after a kill between any two of these files
the row table still points to the right bytes, and so does a trainer that opened the dataset before;
doing it all again ends with the same files. Readers of tars pass over a member without extension
(webdataset's by its underscores too). On a local disk the zeros take no room; a dataset that
shall be smaller elsewhere is resharded.
"""

import hashlib
import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data.manifest import STATS_SUFFIX, ShardInfo, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.rows import Superseded
from diagonal_data.schema import DECODE_REASONS
from diagonal_data.score_sets import UIDS_KEY, uids_digest
from diagonal_data.takedown.requests import content_left
from diagonal_data.tar import BLOCK
from diagonal_data.tombstones import blank_row, is_in, named_rows
from diagonal_data.uid_set import packed_uids
from diagonal_infra import run_dir, storage
from diagonal_infra.errors import StorageError

MEMBER = "__taken_down__"
CHUNK = 1 << 20
Range = tuple[int, int]
"""First byte, and the byte behind the last."""


def rewrite_shard(
    dataset: str, info: ShardInfo, tombstones: pa.Table, superseded: Superseded
) -> ShardInfo:
    """Rewrite what has to be; returns the new entry of the manifest.

    Raises:
        StorageError: the tar is not the one that was built, so nobody knows what its bytes are.
    """
    base = storage.join(shards_folder(dataset), info.name)
    rows = read_parquet(f"{base}.parquet")
    named = named_rows(tombstones, rows)
    gone = named & content_left(rows)
    sha256 = _rewrite_tar(f"{base}.tar", merged_ranges(rows.filter(pa.array(gone))), info)
    uids = rows["uid"].filter(pa.array(named))
    _rewrite_beside(dataset, info.name, uids)
    if gone.any():
        old = np.zeros(len(gone), dtype=bool)
        if not superseded.is_empty:
            old = superseded.mask(packed_uids(rows["uid"]), info.retry_pass)
        rows = blanked(rows, gone, old)
        with storage.write_whole(f"{base}.parquet") as file:
            pq.write_table(rows, file)
    changed = _counted(info, rows, sha256)
    _write_stats(f"{base}{STATS_SUFFIX}", changed)
    return changed


def merged_ranges(rows: pa.Table) -> list[Range]:
    """The bytes of these rows' samples in their tar, what is adjacent as one."""
    stored = rows.filter(rows["tar_bytes"].is_valid()).select(["tar_offset", "tar_bytes"])
    merged: list[Range] = []
    for begin, length in sorted(zip(*(c.to_pylist() for c in stored.columns), strict=True)):
        if merged and merged[-1][1] == begin:
            merged[-1] = merged[-1][0], begin + length
        else:
            merged.append((begin, begin + length))
    return merged


def blanked(rows: pa.Table, gone: np.ndarray, superseded: np.ndarray) -> pa.Table:
    """The table in which `gone` rows tell nothing; superseded ones keep their reason.

    A later shard counts these by the reason they had, so the dataset's counts add up.
    """
    blank = blank_row("", "")
    kept = pa.array(np.arange(len(gone)), mask=gone)
    columns = []
    for name in rows.column_names:
        is_reason, value = name == "reason", blank.get(name)
        changed = gone & ~superseded if is_reason else gone
        if name in ("uid", "key") or name not in blank:
            columns.append(rows[name])
        elif value is None:
            columns.append(rows[name].take(kept))
        else:
            values = [pa.array(changed), pa.scalar(value), rows[name]]
            columns.append(pc.call_function("if_else", values))
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _rewrite_tar(path: str, ranges: list[Range], info: ShardInfo) -> str:
    """The sha256 of the tar with these ranges blank; it is replaced if it had other bytes."""
    before, after = hashlib.sha256(), hashlib.sha256()
    if not ranges:
        with storage.open_read(path) as source:
            for chunk in _chunks(source, 0, None):
                before.update(chunk)
        return _checked(path, before.hexdigest(), before.hexdigest(), info)
    is_local = storage.local_path(path) is not None
    with storage.open_read(path) as source, storage.write_whole(path) as target:
        end = 0
        for begin, next_end in ranges:
            for chunk in _chunks(source, end, begin - end):
                before.update(chunk)
                after.update(chunk)
                target.write(chunk)
            for chunk in _chunks(source, begin, next_end - begin):
                before.update(chunk)
            _write_blank(target, next_end - begin, after, sparse=is_local)
            end = next_end
        for chunk in _chunks(source, end, None):
            before.update(chunk)
            after.update(chunk)
            target.write(chunk)
        return _checked(path, before.hexdigest(), after.hexdigest(), info)


def _checked(path: str, before: str, after: str, info: ShardInfo) -> str:
    """`after`, if the tar was as built, or as an earlier, killed compaction left it."""
    if before not in (info.sha256 or before, after):
        raise StorageError(
            f"{path} is not the tar that was built (sha256 {before[:12]}…, manifest "
            f"{info.sha256[:12]}…); remove the shard's files and run 'make shards' again: what "
            "was taken down is not fetched again"
        )
    return after


def _chunks(file: IO[bytes], begin: int, length: int | None) -> Iterator[bytes]:
    file.seek(begin)
    left = length
    while left is None or left:
        chunk = file.read(CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            if left:
                raise StorageError(f"a tar ends {left} bytes before the end of a sample")
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def _write_blank(target: IO[bytes], length: int, digest: Any, *, sparse: bool) -> None:
    header = tarfile.TarInfo(MEMBER)
    header.size, header.mode = length - BLOCK, 0o644
    head = header.tobuf(format=tarfile.USTAR_FORMAT)
    digest.update(head)
    target.write(head)
    for start in range(0, header.size, CHUNK):
        zeros = bytes(min(CHUNK, header.size - start))
        digest.update(zeros)
        if not sparse:
            target.write(zeros)
    if sparse:
        # A hole; the end mark comes behind it in any case.
        target.seek(header.size, io.SEEK_CUR)


def _rewrite_beside(dataset: str, shard: str, uids: pa.ChunkedArray) -> None:
    """Score tables and embeddings; one that cannot be read goes and is computed again."""
    for path in _beside(storage.join(dataset, "scores"), f"{shard}.parquet"):
        try:
            table = read_parquet(path)
            keep = ~is_in(table["uid"], uids)
        except (pa.ArrowException, KeyError):
            storage.delete(path)
            continue
        if not keep.all():
            left = table.filter(pa.array(keep))
            metadata = {**(left.schema.metadata or {}), UIDS_KEY: uids_digest(left["uid"])}
            with storage.write_whole(path) as file:
                pq.write_table(left.replace_schema_metadata(metadata), file)
    for path in _beside(storage.join(dataset, "embeddings"), f"{shard}.npz"):
        try:
            with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            keep = ~np.isin(arrays["uid"], np.array(uids.to_pylist(), dtype="U32"))
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            storage.delete(path)
            continue
        if not keep.all():
            short = {n: a[keep] if a.shape[:1] == keep.shape else a for n, a in arrays.items()}
            with storage.write_whole(path) as file:
                np.savez(file, **short)


def _beside(folder: str, name: str) -> list[str]:
    """Files of that name one or two folders below."""
    below = [storage.join(folder, each) for each in storage.list_folders(folder)]
    below += [storage.join(each, inner) for each in below for inner in storage.list_folders(each)]
    paths = (storage.join(each, name) for each in below)
    return [path for path in paths if storage.exists(path)]


def _counted(info: ShardInfo, rows: pa.Table, sha256: str) -> ShardInfo:
    reasons = Counter(reason for reason in rows["reason"].to_pylist() if reason is not None)
    return replace(
        info,
        candidates=rows.num_rows,
        samples=rows.num_rows - reasons.total(),
        reasons=dict(sorted(reasons.items())),
        sha256=sha256,
        built_sha256=info.built_sha256 or (info.sha256 if sha256 != info.sha256 else ""),
    )


def _write_stats(path: str, info: ShardInfo) -> None:
    """img2dataset's counts and ours; times and what else stands there stay."""
    stats = json.loads(storage.read_bytes(path)) if storage.exists(path) else {}
    failed_to_resize = sum(info.reasons.get(reason, 0) for reason in DECODE_REASONS)
    stats |= {
        "successes": info.samples,
        "failed_to_download": info.candidates - info.samples - failed_to_resize,
        "failed_to_resize": failed_to_resize,
        "status_dict": {"success": info.samples, **info.reasons},
        **asdict(info),
    }
    storage.write_bytes(path, run_dir.to_json(stats))
