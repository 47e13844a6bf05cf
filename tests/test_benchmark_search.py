"""What the benchmark of search does; the measuring itself is `make bench WHAT=search`."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import search as benchmark

ROW: dict[str, Any] = {
    "rows": 1_000_000,
    "build": {
        **{"seconds": 600.0, "cpu_seconds": 1100.0, "more_bytes": 2**31, "threads": 2},
        **{"setting": 900, "index_bytes": 2**30},
    },
    "asked": {
        n: {
            "open_seconds": 0.2,
            "captions": {"median_ms": median, "p95_ms": 25.0, "recall_at_10": recall},
            "pictures": {"median_ms": 3.0, "p95_ms": 4.0, "recall_at_10": 0.999},
        }
        for n, median, recall in (("1", 8.0, 0.993), ("2", 8.0, 0.989))
    },
    "peer": {n: {"captions": {"median_ms": 160.0, "p95_ms": 170.0}} for n in ("1", "2")},
    "date": "2026-11-23",
    "code_revision": "0123456789",
}


def test_the_page_says_whether_the_goal_is_met() -> None:
    page = benchmark.as_markdown(
        {"machine": "two cores", "versions": {"faiss-cpu": "1"}, "rows": {"hnsw": ROW}}
    )
    one, two = [line for line in page.splitlines() if line.startswith("| hnsw")]
    assert one.endswith("| 20.0× | ≤ 20 ms at ≥ 0.99 | met |")
    assert two.endswith("| **not met** |")  # too few are found
    assert "1,000,000 embeddings" in page


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_what_is_built_is_what_is_asked(kind: str, tmp_path: Path) -> None:
    given = Namespace(rows=2000, work=tmp_path, kind=kind, threads=1)
    benchmark.write_corpus(given)
    built = benchmark.build(given)
    asked = benchmark.ask(given)
    for name in ("captions", "pictures"):
        assert asked[name]["recall_at_10"] >= (1 if kind == "flat" else 0.95)
        assert asked[name]["p95_ms"] >= asked[name]["median_ms"] > 0
    assert built["seconds"] > 0
    assert benchmark.peer(given)["captions"]["median_ms"] > 0


def test_questions_are_of_other_samples_than_the_indexs() -> None:
    drawn = benchmark.Mixture().draw(50, 1)["image"].astype(np.float32)
    assert (benchmark.questions("image") @ drawn.T).max() < 0.99
