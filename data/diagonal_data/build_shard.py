"""One unit to one shard: the function that Ray runs, or this process with --local.

    unit file → engine → spool → tar in candidate order, row table, stats (last: the done mark)

What it writes appears whole, file by file. The tar depends only on the unit, the settings and what
the web answers: timings go to the row table and the stats. So while the web stays as it is, running
it again, or twice at the same time, gives the same tar. The unit file is left to the caller.
"""

import hashlib
import importlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import IO, Any, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data import arrow
from diagonal_data.addresses import host_of, http_url
from diagonal_data.config import ShardsConfig
from diagonal_data.manifest import STATS_SUFFIX, ShardInfo, shards_folder
from diagonal_data.outcome import XMP_OPT_OUT, Engine, Outcome
from diagonal_data.run_ledger import Attempt
from diagonal_data.schema import DECODE_REASONS, ROW_SCHEMA, Candidate, Reason, candidates_from
from diagonal_data.tar import Extent, Sample, TarWriter
from diagonal_data.tombstones import TAKEDOWN_COLUMNS, blank_row, named_rows, read_tombstones
from diagonal_data.units import Unit, read_unit, retried_reasons
from diagonal_infra import run_dir, storage
from diagonal_infra.shared import Shared

KEY_DIGITS = 4
TAKEN_DOWN = Outcome(reason=Reason.TAKEN_DOWN)
"""Nothing is told of its candidate; see tombstones.py."""


def build_shard(unit: Unit, ledger: Shared, config: ShardsConfig) -> ShardInfo:
    """Fetch, decode and write one unit; returns what the manifest keeps of it.

    Raises:
        SupersededError: another attempt at the unit has begun, and what it writes counts.
    """
    arrow.forgo_pandas()
    started, attempt = time.time(), Attempt(ledger, unit.shard)
    table = read_unit(unit)
    candidates = candidates_from(table)
    base = storage.join(shards_folder(config.dataset), unit.shard)
    with Spool(len(candidates)) as spool:
        is_gone = named_rows(read_tombstones(config.dataset), table)
        _fetch_and_decode(candidates, is_gone, config, ledger, spool)
        # Again, for what was taken down since, and for what only a picture tells.
        spool.take_down(named_rows(read_tombstones(config.dataset), _known(candidates, spool)))
        attempt.require_turn()
        with storage.write_whole(f"{base}.tar") as file:
            rows, digest, size = write_samples(file, unit.shard, candidates, spool, config)
    attempt.require_turn()
    with storage.write_whole(f"{base}.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), file)
    reasons = Counter(row["reason"] for row in rows if row["reason"] is not None)
    opt_outs = Counter(host for host, _ in set(filter(None, map(_opt_out, rows))))
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
    attempt.require_turn()
    storage.write_bytes(f"{base}{STATS_SUFFIX}", run_dir.to_json(_stats(info, started)))
    return info


def _fetch_and_decode(
    candidates: Sequence[Candidate],
    is_gone: np.ndarray,
    config: ShardsConfig,
    ledger: Shared,
    spool: "Spool",
) -> None:
    """Fill the spool; what was taken down is not asked for."""
    asked = [int(index) for index in np.flatnonzero(~is_gone)]
    for index in np.flatnonzero(is_gone):
        spool.add(int(index), TAKEN_DOWN)
    if asked:
        engine = cast(Engine, importlib.import_module(f"diagonal_data.engine_{config.engine}"))
        left = [candidates[index] for index in asked]
        engine.fetch_and_decode(
            left, config, ledger, lambda place, outcome: spool.add(asked[place], outcome)
        )


def _known(candidates: Sequence[Candidate], spool: "Spool") -> pa.Table:
    """What tombstones compare of each candidate, now that it is fetched."""
    outcomes = [spool.outcome(index) for index in range(len(candidates))]
    columns = {
        "uid": [candidate.uid for candidate in candidates],
        "url": [candidate.url for candidate in candidates],
        "page_url": [candidate.page_url for candidate in candidates],
        "final_url": [outcome.final_url for outcome in outcomes],
        "sha256": [outcome.sha256 for outcome in outcomes],
        "phash": [outcome.image and outcome.image.phash for outcome in outcomes],
    }
    fields = [ROW_SCHEMA.field(name) for name in TAKEDOWN_COLUMNS]
    return pa.table([columns[name] for name in TAKEDOWN_COLUMNS], schema=pa.schema(fields))


class Spool:
    """Outcomes by index; their images wait in a file without a name, not in memory.

    Images arrive in the order of the web, a tar has the order of its candidates.
    """

    def __init__(self, count: int) -> None:
        self._outcomes: list[Outcome | None] = [None] * count
        self._extents: list[Extent | None] = [None] * count
        self._size = 0

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(prefix="diagonal-")  # closed by __exit__
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of one candidate."""
        assert self._outcomes[index] is None, index
        image = outcome.image
        if image is not None:
            self._extents[index] = Extent(offset=self._size, length=len(image.content))
            self._size += self._file.write(image.content)
            outcome = replace(outcome, image=replace(image, content=b""))
        self._outcomes[index] = outcome

    def take_down(self, is_gone: np.ndarray) -> None:
        """Forget the pictures of these indexes."""
        for index in np.flatnonzero(is_gone):
            self._outcomes[int(index)] = TAKEN_DOWN

    def outcome(self, index: int) -> Outcome:
        """The outcome without its image's content."""
        outcome = self._outcomes[index]
        assert outcome is not None, index
        return outcome

    def get(self, index: int) -> Outcome:
        """The outcome as it was added."""
        outcome, extent = self.outcome(index), self._extents[index]
        if outcome.image is None or extent is None:
            return outcome
        self._file.seek(extent.offset)
        content = self._file.read(extent.length)
        return replace(outcome, image=replace(outcome.image, content=content))


def write_samples(
    file: IO[bytes],
    shard: str,
    candidates: Sequence[Candidate],
    spool: Spool,
    config: ShardsConfig,
) -> tuple[list[dict[str, Any]], str, int]:
    """Write the tar; returns a row per candidate, the tar's sha256 and its size in bytes."""
    hashing = HashingFile(file)
    writer = TarWriter(cast(IO[bytes], hashing))
    digits = max(KEY_DIGITS, len(str(config.samples_per_shard - 1)))
    rows = []
    for index, candidate in enumerate(candidates):
        outcome = spool.get(index)
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

    def write(self, content: bytes | memoryview) -> int:
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
    if outcome is TAKEN_DOWN:
        return blank_row(candidate.uid, key)
    facts = vars(outcome).copy()
    image = facts.pop("image")
    row = vars(candidate) | facts | {"key": key, "status": "success" if image else "failed"}
    if image is not None and extent is not None:
        row |= vars(image) | {"tar_offset": extent.offset, "tar_bytes": extent.length}
    row |= {f"image_{name}": value for name, value in vars(outcome.rights).items()}
    # Names that are no columns, such as `content`, fall away with the schema.
    return row


def _opt_out(row: dict[str, Any]) -> tuple[str, str] | None:
    """Host and URL of an answer that opted out; several candidates may have asked for it."""
    by_host = not (row["detail"] or "").startswith(XMP_OPT_OUT)
    if row["reason"] != Reason.OPTED_OUT or not row["attempts"] or not by_host:
        return None
    answered = http_url(row["final_url"] or row["url"])
    return None if answered is None else (host_of(answered), str(answered))


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
