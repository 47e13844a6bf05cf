"""One unit to one shard: the function that Ray runs, or this process with --local.

    unit file → engine → outcomes in candidate order → tar, row table, stats (last: the done mark)

What it writes appears whole, file by file. The tar depends only on the unit, the settings and what
the web answers: timings go to the row table and the stats. So while the web stays as it is, running
it again, or twice at the same time, gives the same tar. The unit file is left to the caller.
"""

import hashlib
import importlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.config import ShardsConfig
from diagonal_data.manifest import STATS_SUFFIX, ShardInfo, shards_folder
from diagonal_data.outcome import Engine, Outcome
from diagonal_data.rows import host_of
from diagonal_data.schema import DECODE_REASONS, ROW_SCHEMA, Candidate, Reason, candidates_from
from diagonal_data.tar import Extent, Sample, TarWriter
from diagonal_data.units import Unit, read_unit, retried_reasons
from diagonal_infra import run_dir, storage

KEY_DIGITS = 4


def build_shard(unit: Unit, config: ShardsConfig) -> ShardInfo:
    """Fetch, decode and write one unit; returns what the manifest keeps of it."""
    started = time.time()
    candidates = candidates_from(read_unit(unit))
    engine = cast(Engine, importlib.import_module(f"diagonal_data.engine_{config.engine}"))
    outcomes = engine.fetch_and_decode(candidates, config)
    assert len(outcomes) == len(candidates), (len(outcomes), len(candidates))
    base = storage.join(shards_folder(config.dataset), unit.shard)
    with storage.write_whole(f"{base}.tar") as file:
        rows, digest, size = write_samples(file, unit.shard, candidates, outcomes, config)
    with storage.write_whole(f"{base}.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), file)
    reasons = Counter(str(o.reason) for o in outcomes if o.reason is not None)
    opt_outs = Counter(
        host_of(candidate.url)
        for candidate, outcome in zip(candidates, outcomes, strict=True)
        if outcome.reason == Reason.OPTED_OUT
    )
    info = ShardInfo(
        name=unit.shard,
        candidates=len(candidates),
        samples=len(candidates) - reasons.total(),
        bytes=size,
        sha256=digest,
        reasons=dict(sorted(reasons.items())),
        retry_pass=unit.retry_pass,
        retried=retried_reasons(unit),
        opt_outs=dict(sorted(opt_outs.items())),
    )
    storage.write_bytes(f"{base}{STATS_SUFFIX}", run_dir.to_json(_stats(info, started)))
    return info


def write_samples(
    file: IO[bytes],
    shard: str,
    candidates: Sequence[Candidate],
    outcomes: Sequence[Outcome],
    config: ShardsConfig,
) -> tuple[list[dict[str, Any]], str, int]:
    """Write the tar; returns a row per candidate, the tar's sha256 and its size in bytes."""
    hashing = HashingFile(file)
    writer = TarWriter(cast(IO[bytes], hashing))
    digits = max(KEY_DIGITS, len(str(config.samples_per_shard - 1)))
    rows = []
    for index, (candidate, outcome) in enumerate(zip(candidates, outcomes, strict=True)):
        key = f"{shard}{index:0{digits}d}"
        extent = None
        if outcome.image is not None:
            extent = writer.add(_sample(key, candidate, outcome, config.decode.format))
        rows.append(_row(key, candidate, outcome, extent))
    writer.close()
    return rows, hashing.digest.hexdigest(), hashing.size


class HashingFile:
    """Passes writes on and keeps their sha256 and length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        """Write, hash and count."""
        self.digest.update(content)
        self.size += len(content)
        return self._file.write(content)


def _sample(key: str, candidate: Candidate, outcome: Outcome, extension: str) -> Sample:
    image = outcome.image
    assert image is not None
    known = {name: value for name, value in vars(candidate).items() if value is not None}
    # img2dataset's keys first, in its order; ours follow.
    facts = {
        "uid": candidate.uid,
        "caption": candidate.caption,
        "url": candidate.url,
        "key": key,
        "status": "success",
        "error_message": None,
        "width": image.width,
        "height": image.height,
        "original_width": image.original_width,
        "original_height": image.original_height,
        "sha256": outcome.sha256,
    }
    content = json.dumps(facts | known, ensure_ascii=False).encode()
    return Sample(
        key=key,
        members={extension: image.content, "txt": candidate.caption.encode(), "json": content},
    )


def _row(key: str, candidate: Candidate, outcome: Outcome, extent: Extent | None) -> dict[str, Any]:
    row = asdict(candidate) | {
        "key": key,
        "status": "success" if outcome.image else "failed",
        "reason": None if outcome.reason is None else str(outcome.reason),
        "detail": outcome.detail,
        "http_status": outcome.http_status,
        "fetch_ms": outcome.fetch_ms,
        "sha256": outcome.sha256,
        "robots": outcome.robots,
    }
    if outcome.image is not None and extent is not None:
        facts = asdict(outcome.image)
        del facts["content"]
        row |= facts | {"tar_offset": extent.offset, "tar_bytes": extent.length}
    return row


def _stats(info: ShardInfo, started: float) -> dict[str, Any]:
    """img2dataset's keys, then ours; DataComp's tools read `successes`."""
    ended = time.time()
    failed_to_resize = sum(info.reasons.get(reason, 0) for reason in DECODE_REASONS)
    return {
        "count": info.candidates,
        "successes": info.samples,
        "failed_to_download": info.candidates - info.samples - failed_to_resize,
        "failed_to_resize": failed_to_resize,
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": {"success": info.samples, **info.reasons},
        **asdict(info),
    }
