"""The row `recipe`: a filter over row tables and scores, against DataComp's apply_filter.

score    two similarities, the language, the best 30 %: the peer's vectorised rule
basic    caption, size and language: the peer's rule by Python functions
capped   the goal's: three scores, a quantile, and a cap per host, which the peer has not

Of each a first run, which finds no DATASET/cache and fills it, and a later one, which finds it as a
recipe with another threshold would: nothing but columns and digests of files is kept.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import measure
from comparison import Line
from diagonal_data.filters.cache import cache_folder
from diagonal_data.filters.keep_list import read_keep_list
from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError
from filters_corpus import Corpus, build_corpus

FIRST, LATER, PEER = ", first run", ", later run", ", apply_filter"
WHERE = "clip_b32_similarity >= 0.15 AND text_lang = 'en' AND "
QUANTILE = "quantile(clip_l14_similarity) > 0.7"
RULES = ("score", "basic", "capped")
PEER_RULES = RULES[:2]
GOAL_RATIO, GOAL_SECONDS, GOAL_BYTES = 10, 10.0, 4 * 10**9
WORKERS = 2


def measure_row(work: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Both programs in turn, each in fresh processes; medians.

    Raises:
        DiagonalError: the two select different uids.
    """
    corpus = build_corpus(work / f"{rows // 1000}k", rows)
    found: dict[str, list[measure.Usage]] = {}
    for turn in range(repeats):
        for number, (name, command) in enumerate(_programs(corpus).items()):
            if name.endswith(FIRST):
                storage.delete_tree(cache_folder(str(corpus.dataset)))
            usage = measure.run_measured(command, work / f"run-{turn}-{number}")
            found.setdefault(name, []).append(usage)
    kept = {name: len(read_keep_list(str(corpus.dataset), name)) for name in RULES}
    for rule in PEER_RULES:
        subset = np.load(corpus.folder / f"{rule}.npy")
        if not np.array_equal(read_keep_list(str(corpus.dataset), rule), subset):
            raise DiagonalError(f"the two programs select different uids by the rule {rule}")
    medians = {name: _median(usages) for name, usages in found.items()}
    return {"rows": rows, "repeats": repeats, "kept": kept, "programs": medians}


def _programs(corpus: Corpus) -> dict[str, list[str]]:
    """Commands by name, in the order in which they run."""
    ours = {
        "score": _ours(corpus, "score", "expr", "--where", WHERE + "top(clip_l14_similarity, 0.3)"),
        "basic": _ours(corpus, "basic", "datacomp_basic"),
        "capped": _ours(
            corpus, "capped", "expr", "--where", WHERE + QUANTILE, "--cap.host", "1000"
        ),
    }
    programs = {}
    for rule, command in ours.items():
        programs |= {rule + FIRST: command, rule + LATER: command}
        if rule in PEER_RULES:
            programs[rule + PEER] = _peer(corpus, rule)
    return programs


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
    for rule, run in product(PEER_RULES, (FIRST, LATER)):
        ours, peer = programs[rule + run], programs[rule + PEER]
        for what, key in (("wall seconds", "wall_seconds"), ("CPU-seconds", "cpu_seconds")):
            ratio = peer[key] / ours[key]
            yield Line(
                measure=f"{rule}{run}, {size}, {row['kept'][rule]:,} kept, {what}",
                peer=f"{peer[key]:.1f}",
                ours=f"{ours[key]:.1f}",
                ratio=f"{ratio:.1f}×",
                goal=f"≥ {GOAL_RATIO}×",
                met=ratio >= GOAL_RATIO,
            )
    for run in (FIRST, LATER):
        yield from _capped_lines(programs["capped" + run], f"{run}, {row['kept']['capped']:,} kept")


def _capped_lines(capped: Mapping[str, float], what: str) -> Iterator[Line]:
    # CPU over two cores is what the clock shows on a machine that has nothing else to do, at best.
    idle = capped["cpu_seconds"] / WORKERS
    yield Line(
        measure=f"score by a quantile, with a cap per host{what}, "
        f"seconds (CPU-seconds / {WORKERS})",
        peer="has no caps",
        ours=f"{capped['wall_seconds']:.1f} ({idle:.1f})",
        goal=f"≤ {GOAL_SECONDS:g} s",
        met=capped["wall_seconds"] <= GOAL_SECONDS,
    )
    yield Line(
        measure=f"memory of it{what.partition(',')[0]}, GB",
        peer="has no caps",
        ours=f"{capped['max_rss_bytes'] / 1e9:.2f}",
        goal=f"≤ {GOAL_BYTES / 1e9:g} GB",
        met=capped["max_rss_bytes"] <= GOAL_BYTES,
    )
