"""Outcomes by group: rates, the gap between the best and the worst group, and whether it is chance.

    outcomes (yes or no) + the value of an attribute for each picture → a rate for each value
    gap     best minus worst of the groups with enough pictures, with an interval
    p       how often so unlike rates arise if the attribute has nothing to do with the outcome
    p_holm  the same, corrected for the number of attributes that were looked at (Holm, 1979)

A picture whose value is empty belongs to no group; it is counted as unknown.

Shape suffixes: N pictures, G groups, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.intervals import Interval, Rate

Flags = NDArray[np.bool_]
Key = TypeVar("Key")
LEAST_PICTURES = 10
"""A smaller group has its rate, but is neither best nor worst: it would be either by chance."""
RESAMPLES = 10_000
TIMES = " × "
"""Between the attributes, and the values, of an intersection."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Between the best and the worst of an attribute's groups."""

    worst: str
    best: str
    value: float
    interval: Interval
    p: float
    p_holm: float
    comparisons: int
    """Attributes that `p_holm` corrects for."""


@dataclass(frozen=True, kw_only=True)
class GroupRates:
    """One attribute's groups, by name."""

    rates: Mapping[str, Rate]
    too_small: tuple[str, ...]
    """Left out of the gap."""
    unknown: int
    """Pictures without a value."""
    gap: Gap | None
    """None with fewer than two groups that are large enough."""


def compare_groups(
    outcomes_N: Flags,
    groups: Mapping[str, Sequence[str]],
    *,
    seed: int,
    least: int = LEAST_PICTURES,
    resamples: int = RESAMPLES,
) -> dict[str, GroupRates]:
    """Every attribute's rates and gap; p-values are corrected over the attributes with a gap.

    Args:
        outcomes_N: right or wrong, or whatever is asked of each picture.
        groups: attribute to its value for each picture; add `intersections` for combinations.
        seed: draws the resamples and the permutations.
        least: pictures that a group needs to be compared.
        resamples: and permutations, for each attribute.
    """
    return corrected_together(
        {
            attribute: rates_of_groups(
                outcomes_N, values, seed=seed, least=least, resamples=resamples
            )
            for attribute, values in groups.items()
        }
    )


def corrected_together(found: Mapping[Key, GroupRates]) -> dict[Key, GroupRates]:
    """The same with p-values corrected for all gaps that are reported side by side."""
    gaps = {key: rates.gap for key, rates in found.items() if rates.gap is not None}
    settled = {
        key: replace(gap, p_holm=p_holm, comparisons=len(gaps))
        for (key, gap), p_holm in zip(
            gaps.items(), holm([gap.p for gap in gaps.values()]), strict=True
        )
    }
    return {key: replace(rates, gap=settled.get(key)) for key, rates in found.items()}


def rates_of_groups(
    outcomes_N: Flags,
    values: Sequence[str],
    *,
    seed: int,
    least: int = LEAST_PICTURES,
    resamples: int = RESAMPLES,
) -> GroupRates:
    """One attribute alone, its p-value not corrected.

    Raises:
        ValueError: values and outcomes differ in number, or an outcome is neither yes nor no.
    """
    if outcomes_N.dtype != np.bool_ or outcomes_N.shape != (len(values),):
        shape = f"{outcomes_N.dtype} of shape {outcomes_N.shape}"
        raise ValueError(f"outcomes must be {len(values)} booleans, got {shape}")
    values_N = np.asarray(values, dtype=str)
    rates = {}
    for value in sorted(set(values) - {""}):
        inside_N = values_N == value
        rates[value] = Rate(successes=int(outcomes_N[inside_N].sum()), n=int(inside_N.sum()))
    compared = {value: rate for value, rate in rates.items() if rate.n >= least}
    return GroupRates(
        rates=rates,
        too_small=tuple(value for value in rates if value not in compared),
        unknown=int((values_N == "").sum()),
        gap=_gap(compared, seed, resamples) if len(compared) > 1 else None,
    )


def intersections(groups: Mapping[str, Sequence[str]], size: int = 2) -> dict[str, tuple[str, ...]]:
    """Combinations of `size` attributes: `age × gender` with values such as `20-29 × female`.

    A picture of which one of the values is unknown has none.
    """
    found = {}
    for names in combinations(groups, size):
        columns = zip(*(groups[name] for name in names), strict=True)
        found[TIMES.join(names)] = tuple(
            TIMES.join(values) if all(values) else "" for values in columns
        )
    return found


def gap_interval(rates: Sequence[Rate], *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """95 % bootstrap interval of best minus worst rate, stratified by group, inside [0, 1].

    Each group is resampled on its own, its share drawn towards one half by half a success and half
    a failure, so that a group without any error keeps an interval. Resamples reorder the groups
    and spread further than the groups do; how far they spread above their centre is taken to both
    sides. The interval begins at 0 if dealing the outcomes out anew makes as large a gap.
    """
    n_G = np.array([rate.n for rate in rates])
    successes_G = np.array([rate.successes for rate in rates])
    share_G = (successes_G + 0.5) / (n_G + 1)
    rng = np.random.default_rng(seed)
    drawn_R = np.ptp(rng.binomial(n_G, share_G, (resamples, len(n_G))) / n_G, axis=1)
    dealt_RG = rng.multivariate_hypergeometric(n_G, int(successes_G.sum()), resamples)
    by_chance_R = np.ptp(dealt_RG / n_G, axis=1)
    gap, centre = np.ptp(successes_G / n_G), np.ptp(share_G)
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    begins = 0.0 if gap <= np.quantile(by_chance_R, 0.975) else gap - (high - centre)
    ends = gap + max(centre - low, high - centre)
    return float(np.clip(begins, 0, gap)), float(np.clip(ends, gap, 1))


def permutation_p(rates: Sequence[Rate], *, seed: int, permutations: int = RESAMPLES) -> float:
    """Of the hypothesis that all groups have one rate: permutation test with Pearson's χ².

    Outcomes are dealt out to the groups anew, which is a draw from the multivariate hypergeometric
    distribution; it holds for any group size, where the χ² table needs five expected successes.
    """
    n_G = np.array([rate.n for rate in rates])
    successes_G = np.array([rate.successes for rate in rates])
    total = int(successes_G.sum())
    if total in (0, int(n_G.sum())):
        return 1.0
    rng = np.random.default_rng(seed)
    dealt_RG = rng.multivariate_hypergeometric(n_G, total, permutations)
    expected_G = total * n_G / n_G.sum()
    # Shared factors are left out of χ²: margins are the same in every permutation.
    statistic_R = ((dealt_RG - expected_G) ** 2 / n_G).sum(axis=1)
    observed = ((successes_G - expected_G) ** 2 / n_G).sum()
    at_least = int((statistic_R >= observed * (1 - 1e-9)).sum())
    return (at_least + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected for being several: the chance of any false alarm stays below the level."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def groups_record(found: Mapping[str, GroupRates], metric: str = "acc1") -> dict[str, Any]:
    """The `groups` of a task in results.json: attribute, value, then n, the metric, ci95."""
    return {
        attribute: {
            value: {"n": rate.n, metric: rate.value, "ci95": list(rate.interval)}
            for value, rate in rates.rates.items()
        }
        for attribute, rates in found.items()
    }


def gaps_record(found: Mapping[str, GroupRates]) -> dict[str, Any]:
    """The `group_gaps` of a task in results.json; where there is no gap a note says why."""
    return {attribute: _gap_record(rates) for attribute, rates in found.items()}


def _gap_record(rates: GroupRates) -> dict[str, Any]:
    counts = {"too_small": list(rates.too_small), "unknown": rates.unknown}
    gap = rates.gap
    if gap is None:
        note = f"fewer than two groups are large enough to compare; {len(rates.rates)} in all"
        return {**counts, "gap": None, "note": note}
    return {
        **counts,
        "gap": gap.value,
        "ci95": list(gap.interval),
        "worst": gap.worst,
        "lowest": rates.rates[gap.worst].value,
        "best": gap.best,
        "p": gap.p,
        "p_holm": gap.p_holm,
        "comparisons": gap.comparisons,
    }


def _gap(rates: Mapping[str, Rate], seed: int, resamples: int) -> Gap:
    in_order = list(rates.values())
    worst = min(rates, key=lambda value: rates[value].value)
    best = max(rates, key=lambda value: rates[value].value)
    p = permutation_p(in_order, seed=seed, permutations=resamples)
    return Gap(
        worst=worst,
        best=best,
        value=rates[best].value - rates[worst].value,
        interval=gap_interval(in_order, seed=seed, resamples=resamples),
        p=p,
        p_holm=p,
        comparisons=1,
    )
