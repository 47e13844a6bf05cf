"""Does the wording of the prompt matter? One set of pictures under paraphrased templates.

The set's per-template accuracies are of the same pictures; `prompt_spread` says how far they lie
apart. Wordings that are all alike still differ by chance: `spread_by_chance` is how far, with the
answers to each picture shuffled over the wordings, and `p` how often at least as far.

Shape suffixes: T templates, N pictures (`mixed`: those with unlike answers), R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.intervals import Interval
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import blank, classification_set, dice_of_rounds, put
from diagonal_eval.weak_spots.things import Thing

PARAPHRASES = (
    "{}",
    "a drawing of {}",
    "a picture of {}",
    "an image of {}",
    "an illustration of {}",
    "a sketch of {}",
    "clip art of {}",
    "an icon of {}",
    "a cartoon of {}",
    "this is {}",
    "here you can see {}",
    "{} on a white background",
)
"""Class names carry their article: `a cat`, `an owl`."""
SIZES = (0.6, 0.9)
"""Of the page."""
AT_ONCE = 100
"""Resamples in memory."""
NORMAL_FROM = 500
"""Pictures with unlike answers, from which on sums are drawn in place of answers."""


@dataclass(frozen=True, kw_only=True)
class PromptSpread:
    """How far the accuracies of paraphrased prompts lie apart."""

    n: int
    num_templates: int
    best: str
    worst: str
    spread: float
    """Of the best minus of the worst."""
    spread_interval: Interval
    std: float
    """Standard deviation of the accuracies, over the templates."""
    std_interval: Interval
    spread_by_chance: float
    p: float


def wording(config: WeakSpotConfig, things: Sequence[Thing], name: str) -> EvalSet:
    """Every thing equally often, alone on a page; chance is one over the things."""
    pictures, labels = [], []
    for dice in dice_of_rounds(config, name, len(things)):
        for label, thing in enumerate(things):
            page = blank(config.side)
            size = dice.uniform(*SIZES) * config.side
            free = (config.side - size) / 2
            centre = [config.side / 2 + dice.uniform(-free, free) for _ in "xy"]
            put(page, dice.choice(thing.looks), (centre[0], centre[1]), size)
            pictures.append(page)
            labels.append(label)
    return classification_set(
        name,
        pictures,
        labels,
        class_names=[thing.one for thing in things],
        templates=PARAPHRASES,
    )


def prompt_spread(
    correct_TN: NDArray[np.bool_], templates: Sequence[str], *, seed: int, resamples: int = 1000
) -> PromptSpread:
    """Spread with bootstrap intervals over the pictures; needs two templates.

    Raises:
        ValueError: fewer than two templates, no pictures, or rows that are not the templates'.
    """
    num_templates, n = correct_TN.shape
    if num_templates < 2 or n == 0 or num_templates != len(templates):
        raise ValueError(f"no spread of {len(templates)} templates over answers {correct_TN.shape}")
    rng = np.random.default_rng(seed)
    accuracy_T = correct_TN.mean(axis=1)
    right_N = correct_TN.sum(axis=0)
    # All others move every accuracy alike.
    mixed_NT = correct_TN.T[(right_N > 0) & (right_N < num_templates)].astype(np.float64)
    drawn_RT = _resampled(mixed_NT, n, rng, resamples)
    shuffled_R = np.ptp(_shuffled(mixed_NT, n, rng, resamples), axis=1)
    spread, std = float(np.ptp(accuracy_T)), float(accuracy_T.std(ddof=1))
    # A hair is allowed for: sums of the same answers in another order may differ in the last bit.
    p = (int((shuffled_R >= spread - 1e-12).sum()) + 1) / (resamples + 1)
    by_chance = p > 0.025
    return PromptSpread(
        n=n,
        num_templates=num_templates,
        best=templates[int(accuracy_T.argmax())],
        worst=templates[int(accuracy_T.argmin())],
        spread=spread,
        spread_interval=_interval(spread, np.ptp(drawn_RT, axis=1), by_chance=by_chance),
        std=std,
        std_interval=_interval(std, drawn_RT.std(axis=1, ddof=1), by_chance=by_chance),
        spread_by_chance=float(shuffled_R.mean()),
        p=p,
    )


def spread_record(spread: PromptSpread) -> dict[str, Any]:
    """For a task's record in results.json."""
    return {
        "n": spread.n,
        "templates": spread.num_templates,
        "best": spread.best,
        "worst": spread.worst,
        "spread": spread.spread,
        "spread_ci95": list(spread.spread_interval),
        "std": spread.std,
        "std_ci95": list(spread.std_interval),
        "spread_by_chance": spread.spread_by_chance,
        "p": spread.p,
    }


def _resampled(
    mixed_NT: NDArray[np.float64], n: int, rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Accuracies in resamples of all n pictures, but for what all wordings have in common."""
    num_mixed = len(mixed_NT)
    shares = [*[1 / n] * num_mixed, 1 - num_mixed / n]
    drawn = [
        rng.multinomial(n, shares, min(AT_ONCE, resamples - done))[:, :num_mixed] @ mixed_NT
        for done in range(0, resamples, AT_ONCE)
    ]
    return np.concatenate(drawn) / n


def _shuffled(
    mixed_NT: NDArray[np.float64], n: int, rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Accuracies with each picture's answers dealt out anew over the wordings.

    Of many pictures only the sums are drawn: they are normal, and how each picture's answers go
    together is known. Their common part is left out.
    """
    num_mixed, num_templates = mixed_NT.shape
    if num_mixed < NORMAL_FROM:
        sums = [rng.permuted(mixed_NT, axis=1).sum(axis=0) for _ in range(resamples)]
        return np.array(sums) / n
    share_N = mixed_NT.mean(axis=1)
    variance = (share_N * (1 - share_N)).sum() * num_templates / (num_templates - 1)
    return rng.standard_normal((resamples, num_templates)) * np.sqrt(variance) / n


def _interval(value: float, drawn_R: NDArray[np.float64], *, by_chance: bool) -> Interval:
    """Reversed, because resamples spread further than the pictures did; from 0 if it is chance."""
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    begins = 0.0 if by_chance else max(0.0, float(2 * value - high))
    return begins, min(1.0, value + max(value - float(low), float(high) - value))
