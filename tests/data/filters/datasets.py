"""Small datasets of row tables and score sets, without tars, for the tests of filters."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.filters.config import FiltersConfig
from diagonal_data.filters.keep_list import hex_uids
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.select import select
from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.score_sets import ScoreSet

FAR = 0x0F0F_3333_5555_00FF
"""A hash with half its bits set, so that it is not flat."""


def row(number: int = 0, **changes: object) -> dict[str, Any]:
    """A stored sample that no rule drops; `number` makes it another picture."""
    return {
        "uid": f"{number * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835 % 2**128:032x}",
        "url": f"http://a/{number}",
        "caption": "a red bicycle",
        "status": "success",
        "reason": None,
        "original_width": 300,
        "original_height": 200,
        "sha256": f"{number:064x}",
        "phash": FAR ^ (number * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF),
    } | changes


def failed(number: int, reason: str = "timed_out", **changes: object) -> dict[str, Any]:
    """A row without a sample."""
    nothing = {"sha256": None, "phash": None, "original_width": None, "original_height": None}
    return row(number, status="failed", reason=reason, **nothing, **changes)


def write_dataset(
    folder: Path, shards: Sequence[Sequence[dict[str, Any]]], passes: Sequence[int] = ()
) -> str:
    """Row tables and manifest; one list of rows per shard."""
    manifest = Manifest(dataset=str(folder), settings={})
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(shards):
        name = f"{number:08d}"
        table = pa.Table.from_pylist(list(rows), schema=ROW_SCHEMA)
        pq.write_table(table, folder / "shards" / f"{name}.parquet")
        samples = sum(each["status"] == "success" for each in rows)
        manifest.add(
            ShardInfo(
                name=name,
                candidates=len(rows),
                samples=samples,
                bytes=0,
                sha256=name,
                retry_pass=passes[number] if passes else 0,
            )
        )
    manifest.write()
    return str(folder)


def write_scores(
    dataset: str,
    label: str,
    columns: Mapping[str, Any],
    source: str = "model",
) -> ScoreSet:
    """Score tables of all shards; values are those of all samples in dataset order."""
    kind, _, name = label.partition("/")
    scores = ScoreSet(dataset=dataset, kind=kind, name=name)
    start = 0
    for path in sorted((Path(dataset) / "shards").glob("*.parquet")):
        rows = pq.read_table(path, columns=["uid", "status"])
        uids = rows.filter(pa.compute.equal(rows["status"], "success"))["uid"]  # pyright: ignore[reportAttributeAccessIssue]  # made at import
        values = {key: pa.array(value).slice(start, len(uids)) for key, value in columns.items()}
        scores.write(path.stem, pa.table({"uid": uids, **values}), source)
        start += len(uids)
    return scores


def pool_of(dataset: str, **settings: Any) -> Pool:
    """What a recipe gives."""
    known = {field.name for field in fields(FiltersConfig)}
    assert settings.keys() <= known
    return select(FiltersConfig(dataset=dataset, name="n", **settings)).pool


def reasons_of(pool: Pool) -> list[str]:
    """The reason of each row, empty for the kept ones."""
    return [pool.names[code] for code in pool.codes]


def kept_uids(pool: Pool) -> set[str]:
    """The uids of the kept rows."""
    return set(hex_uids(pool.packed(pool.kept())).to_pylist())
