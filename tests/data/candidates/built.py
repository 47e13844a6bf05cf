"""What a finished candidates folder holds."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from diagonal_data.schema import CANDIDATE_SCHEMA


def rows_of(output: str) -> list[dict[str, Any]]:
    """All candidates by uid; every part has the schema."""
    parts = sorted(Path(output).glob("part-*.parquet"))
    assert all(pq.read_schema(part).equals(CANDIDATE_SCHEMA) for part in parts)
    return sorted((r for p in parts for r in pq.read_table(p).to_pylist()), key=lambda r: r["uid"])


def funnel(output: str) -> dict[str, dict[str, int]]:
    """The summary's."""
    return json.loads(Path(output, "summary.json").read_text())["funnel"]
