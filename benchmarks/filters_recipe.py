"""The row `recipe`: a filter over row tables and scores, against DataComp's apply_filter.

score    two similarities, the language, the best 30 %: the peer's vectorised rule
basic    caption, size and language: the peer's rule by Python functions
capped   the goal's: three scores, a quantile, and a cap per host, which the peer has not
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

SCORE, BASIC, CAPPED = "diagonal, score", "diagonal, basic", "diagonal, capped"
PEER_SCORE, PEER_BASIC = "apply_filter, score", "apply_filter, basic"
WHERE = "clip_b32_similarity >= 0.15 AND text_lang = 'en' AND "
QUANTILE = "quantile(clip_l14_similarity) > 0.7"
RULES = ("score", "basic", "capped")
GOAL_RATIO, GOAL_SECONDS, GOAL_BYTES = 10, 10.0, 4 * 10**9
WORKERS = 2


def measure_row(work: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Both programs in turn, each in fresh processes; medians.

    Raises:
        DiagonalError: the two select different uids.
    """
    corpus = build_corpus(work / f"{rows // 1000}k", rows)
    programs = {
        SCORE: _ours(corpus, "score", "expr", "--where", WHERE + "top(clip_l14_similarity, 0.3)"),
        PEER_SCORE: _peer(corpus, "score"),
        BASIC: _ours(corpus, "basic", "datacomp_basic"),
        PEER_BASIC: _peer(corpus, "basic"),
        CAPPED: _ours(corpus, "capped", "expr", "--where", WHERE + QUANTILE, "--cap.host", "1000"),
    }
    found: dict[str, list[measure.Usage]] = {name: [] for name in programs}
    for turn in range(repeats):
        for number, (name, command) in enumerate(programs.items()):
            found[name].append(measure.run_measured(command, work / f"run-{turn}-{number}"))
    kept = {name: len(read_keep_list(str(corpus.dataset), name)) for name in RULES}
    for rule in RULES[:2]:
        subset = np.load(corpus.folder / f"{rule}.npy")
        if not np.array_equal(read_keep_list(str(corpus.dataset), rule), subset):
            raise DiagonalError(f"the two programs select different uids by the rule {rule}")
    medians = {name: _median(usages) for name, usages in found.items()}
    return {"rows": rows, "repeats": repeats, "kept": kept, "programs": medians}


def _ours(corpus: Corpus, name: str, recipe: str, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "diagonal_data.filters", recipe, "--samples-in-report", "0"),
        *("--dataset", str(corpus.dataset), "--name", name, *flags),
    ]


def _peer(corpus: Corpus, rule: str) -> list[str]:
    program = Path(__file__).with_name("filters_peer.py")
    output = corpus.folder / f"{rule}.npy"
    return [
        *(sys.executable, str(program), rule, str(corpus.pool), str(output)),
        *("--workers", str(WORKERS)),
    ]


def _median(usages: Sequence[measure.Usage]) -> dict[str, float]:
    known = [asdict(usage) for usage in usages]
    names = ("wall_seconds", "cpu_seconds", "max_rss_bytes")
    return {name: statistics.median(usage[name] for usage in known) for name in names}


def lines(row: Mapping[str, Any]) -> Iterator[Line]:
    """The comparisons with their goals."""
    programs, size = row["programs"], f"{row['rows'] / 1e6:g} M rows"
    for rule, ours, peer in (("score", SCORE, PEER_SCORE), ("basic", BASIC, PEER_BASIC)):
        for what, key in (("wall seconds", "wall_seconds"), ("CPU-seconds", "cpu_seconds")):
            ratio = programs[peer][key] / programs[ours][key]
            yield Line(
                measure=f"{rule} on {size}, {row['kept'][rule]:,} kept, {what}",
                peer=f"{programs[peer][key]:.1f}",
                ours=f"{programs[ours][key]:.1f}",
                ratio=f"{ratio:.1f}×",
                goal=f"≥ {GOAL_RATIO}×",
                met=ratio >= GOAL_RATIO,
            )
    capped = programs[CAPPED]
    # CPU over two cores is what the clock shows on a machine that has nothing else to do, at best.
    idle = capped["cpu_seconds"] / WORKERS
    yield Line(
        measure=f"score by a quantile, with a cap per host, {row['kept']['capped']:,} kept, "
        f"seconds (CPU-seconds / {WORKERS})",
        peer="has no caps",
        ours=f"{capped['wall_seconds']:.1f} ({idle:.1f})",
        goal=f"≤ {GOAL_SECONDS:g} s",
        met=capped["wall_seconds"] <= GOAL_SECONDS,
    )
    yield Line(
        measure="memory of it, GB",
        peer="has no caps",
        ours=f"{capped['max_rss_bytes'] / 1e9:.2f}",
        goal=f"≤ {GOAL_BYTES / 1e9:g} GB",
        met=capped["max_rss_bytes"] <= GOAL_BYTES,
    )
