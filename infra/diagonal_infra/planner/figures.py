"""What the plan stands on: what was given, measured here, published by others, or assumed.

`make bench` leaves benchmarks/results/NAME_<cpu>_<yyyy-mm>.json; of a row the newest one counts.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagonal_infra.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and where it comes from."""

    value: float
    source: str


def published(value: float, source: str) -> Figure:
    """Somebody else's number."""
    return Figure(value=value, source=f"published: {source}")


def assumed(value: float, reason: str) -> Figure:
    """Nobody's number."""
    return Figure(value=value, source=f"assumed: {reason}")


FALLBACKS = {
    "images_per_core_second": published(59, "img2dataset on LAION-5B, 160 vCPU"),
    "success_share": published(0.62, "CC12M in 2025-10; DataComp had 42 %"),
    "image_kilobytes": published(100, "img2dataset README, 130 MB/s for 1,350 pictures/s"),
    "stored_kilobytes": published(26, "img2dataset README, 936 GB for 36 M pictures"),
    "score_per_gpu_second": published(875, "clip-retrieval, ViT-B/32, 7,000/s on 8 × A100"),
    "loader_cpu_ms": assumed(2.0, "some 500 pictures of 256 pixels a core-second"),
    "filter_cpu_us": assumed(5.0, "a scan of Parquet columns"),
}
ROWS: Mapping[str, tuple[str, str, Callable[[Any], float]]] = {
    "images_per_core_second": (
        "fetch",
        "base",
        lambda row: 1e3 / row["programs"]["diagonal"]["cpu_ms_excluded"],
    ),
    "loader_cpu_ms": (
        "stream",
        "speed",
        lambda row: row["sizes"]["256"]["programs"]["diagonal"]["cpu_ms"],
    ),
    "filter_cpu_us": (
        "filters",
        "recipe",
        lambda row: 1e6 * row["programs"]["basic, first run"]["cpu_seconds"] / row["rows"],
    ),
}
"""By figure: the benchmark, its row, and the number in it."""


def figure(name: str, given: float | None, results: str) -> Figure:
    """What was given with a flag, else what was measured here, else what was published.

    Raises:
        UserError: the benchmark's results cannot be read.
    """
    if given is not None:
        return Figure(value=given, source="given")
    return measured(name, results) or FALLBACKS[name]


def measured(name: str, results: str) -> Figure | None:
    """What `make bench` found on this machine, if it did."""
    if name not in ROWS:
        return None
    bench, row, number = ROWS[name]
    found = []
    for path in Path(results).glob(f"{bench}_*.json"):
        with _named(path, row, bench):
            rows = json.loads(path.read_bytes())["rows"]
            if row in rows:
                found.append((rows[row]["date"], path))
    if not found:
        return None
    date, path = max(found)
    with _named(path, row, bench):
        value = float(number(json.loads(path.read_bytes())["rows"][row]))
    return Figure(value=value, source=f"measured: {path.name}, {date}")


@contextmanager
def _named(path: Path, row: str, bench: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} has no usable {row}: {error!r}; run `make bench WHAT={bench}` again or "
            "set --results to an empty folder"
        ) from error
