"""The row `recipe`: a filter over row tables and scores, against DataComp's apply_filter.

`same` is the subset that the peer selects too: two similarities, the language, the best 30 %.
`capped` is the goal's: three scores, a quantile, and a cap per host, which the peer has not.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import measure
from comparison import Line
from diagonal_data.filters.keep_list import read_keep_list
from diagonal_infra.errors import DiagonalError
from filters_corpus import Corpus, build_corpus

OURS, CAPPED, PEER = "diagonal, same subset", "diagonal, quantile and cap", "apply_filter"
WHERE = "clip_b32_similarity >= 0.15 AND text_lang = 'en' AND "
GOAL_RATIO, GOAL_SECONDS, GOAL_BYTES = 10, 10.0, 4 * 10**9
WORKERS = 2


def measure_row(work: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Both programs in turn, each in fresh processes; medians.

    Raises:
        DiagonalError: the two select different uids.
    """
    corpus = build_corpus(work / f"{rows // 1000}k", rows)
    output = work / "peer.npy"
    peer = Path(__file__).with_name("filters_peer.py")
    programs = {
        OURS: _ours(corpus, "same", "top(clip_l14_similarity, 0.3)"),
        CAPPED: _ours(
            corpus, "capped", "quantile(clip_l14_similarity) > 0.7", "--cap.host", "1000"
        ),
        PEER: [sys.executable, str(peer), str(corpus.pool), str(output), "--workers", str(WORKERS)],
    }
    found: dict[str, list[measure.Usage]] = {name: [] for name in programs}
    for turn in range(repeats):
        for number, (name, command) in enumerate(programs.items()):
            found[name].append(measure.run_measured(command, work / f"run-{turn}-{number}"))
    subset = np.load(output)
    if not np.array_equal(read_keep_list(str(corpus.dataset), "same"), subset):
        raise DiagonalError("the two programs select different uids")
    return {
        "rows": rows,
        "repeats": repeats,
        "kept": len(subset),
        "kept_capped": len(read_keep_list(str(corpus.dataset), "capped")),
        "programs": {name: _median(usages) for name, usages in found.items()},
    }


def _ours(corpus: Corpus, name: str, condition: str, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "diagonal_data.filters", "expr", "--samples-in-report", "0"),
        *("--dataset", str(corpus.dataset), "--name", name, "--where", WHERE + condition, *flags),
    ]


def _median(usages: Sequence[measure.Usage]) -> dict[str, float]:
    known = [asdict(usage) for usage in usages]
    names = ("wall_seconds", "cpu_seconds", "max_rss_bytes")
    return {name: statistics.median(usage[name] for usage in known) for name in names}


def lines(row: Mapping[str, Any]) -> Iterator[Line]:
    """The comparisons with their goals."""
    ours, capped, peer = (row["programs"][name] for name in (OURS, CAPPED, PEER))
    size = f"{row['rows'] / 1e6:g} M rows"
    for what, key in (("wall seconds", "wall_seconds"), ("CPU-seconds", "cpu_seconds")):
        ratio = peer[key] / ours[key]
        yield Line(
            measure=f"recipe on {size}, {row['kept']:,} kept, {what}",
            peer=f"{peer[key]:.1f}",
            ours=f"{ours[key]:.1f}",
            ratio=f"{ratio:.1f}×",
            goal=f"≥ {GOAL_RATIO}×",
            met=ratio >= GOAL_RATIO,
        )
    # CPU over two cores is what the clock shows on a machine that has nothing else to do, at best.
    idle = capped["cpu_seconds"] / WORKERS
    yield Line(
        measure=f"the same with a quantile and a cap per host, {row['kept_capped']:,} kept, "
        f"seconds (CPU-seconds / {WORKERS})",
        peer="has no caps",
        ours=f"{capped['wall_seconds']:.1f} ({idle:.1f})",
        goal=f"≤ {GOAL_SECONDS:g} s",
        met=capped["wall_seconds"] <= GOAL_SECONDS,
    )
    yield Line(
        measure="memory of it, GB",
        peer=f"{peer['max_rss_bytes'] / 1e9:.2f} (one process)",
        ours=f"{capped['max_rss_bytes'] / 1e9:.2f}",
        goal=f"≤ {GOAL_BYTES / 1e9:g} GB",
        met=capped["max_rss_bytes"] <= GOAL_BYTES,
    )
