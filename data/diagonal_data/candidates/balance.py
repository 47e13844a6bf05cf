"""Balancing over entries: MetaCLIP's rule and CLIP's cap, by lots that depend on the row alone.

    probability   each entry of a row wins with p = min(1, t / rows of the entry); one win keeps the
                  row, so that it stays with 1 − Π(1 − p)   (Xu et al., 2023, algorithm 1)
    cap           each entry keeps the t rows with the lowest lots; one entry that keeps it is
                  enough for a row                          (Radford et al., 2021, section 2.2)

The lot of a row and an entry is hash(seed, uid, entry) (filters/draws.py): neither order, files,
partitions nor workers matter, and another t keeps a superset or a subset.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diagonal_data.filters.draws import chance, draw

REFERENCE = "en"
"""The language whose share of rare entries the others get."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What became of each row."""

    stays: np.ndarray
    """bool"""
    keep_p: np.ndarray
    """With what probability; float32, 0 for a row without entries."""


def t_to_p(counts: np.ndarray, t: float) -> float:
    """The share of all matches that entries with fewer than t rows have."""
    total = counts.sum()
    return float(counts[counts < t].sum() / total) if total else 0.0


def p_to_t(counts: np.ndarray, p: float) -> int:
    """The t whose share of matches in rarer entries is nearest to p."""
    ordered = np.sort(counts[counts > 0])
    if not len(ordered):
        return 1
    shares = np.cumsum(ordered) / ordered.sum()
    return int(ordered[np.argmin(np.abs(shares - p))])


def thresholds(
    counts: np.ndarray, sets: Mapping[str, range], t: int, *, per_language: bool
) -> np.ndarray:
    """The t of each entry, int64.

    Per language, t is that of English, or of the largest set where there is none; the others get
    the t at which their rare entries have the same share of matches (MetaCLIP 2).
    """
    limits = np.full(len(counts), t, np.int64)
    if per_language and len(sets) > 1:
        reference = sets.get(REFERENCE) or max(
            sets.values(), key=lambda places: counts[places].sum()
        )
        p = t_to_p(counts[reference], t)
        for places in sets.values():
            if places != reference:
                limits[places] = p_to_t(counts[places], p)
    return limits


def probabilities(counts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """min(1, t / count) of each entry."""
    return limits / np.maximum(counts, limits)


def draw_rows(
    halves: np.ndarray, offsets: np.ndarray, places: np.ndarray, chances: np.ndarray, seed: int
) -> Draw:
    """MetaCLIP's draw.

    Args:
        halves: uids of the rows, N×2 uint64.
        offsets: where each row's entries begin in `places`, and the end.
        places: of the entries.
        chances: `probabilities` of all entries.
        seed: of the lots.
    """
    owners = np.repeat(np.arange(len(halves)), np.diff(offsets))
    p = chances[places]
    sure = p >= 1
    won = np.zeros(len(halves), bool)
    won[owners[sure]] = True
    # A row that has a rare entry needs no lots.
    open_pairs = np.flatnonzero(~won[owners])
    lots = chance(draw(seed, halves[owners[open_pairs]], places[open_pairs]))
    won[owners[open_pairs[lots < p[open_pairs]]]] = True
    return Draw(stays=won, keep_p=_any_of(p, offsets))


def cap_rows(
    halves: np.ndarray,
    offsets: np.ndarray,
    places: np.ndarray,
    chances: np.ndarray,
    highest: np.ndarray,
    seed: int,
) -> Draw:
    """CLIP's cap; arguments as of `draw_rows`, and the highest lot that each entry keeps."""
    owners = np.repeat(np.arange(len(halves)), np.diff(offsets))
    won = np.zeros(len(halves), bool)
    won[owners[lots_of(halves[owners], places, seed) <= highest[places]]] = True
    return Draw(stays=won, keep_p=_any_of(chances[places], offsets))


def lots_of(halves: np.ndarray, places: np.ndarray, seed: int) -> np.ndarray:
    """The lot of each pair of a row and an entry, uint64."""
    return draw(seed, halves, places)


def _any_of(p: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """1 − Π(1 − p) of each row."""
    kept = np.zeros(len(offsets) - 1, np.float32)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        kept[filled] = 1 - np.multiply.reduceat(1 - p, offsets[filled])
    return kept
