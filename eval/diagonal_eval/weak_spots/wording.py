"""Does the wording of the prompt matter? One set of pictures under paraphrased templates.

The set's per-template accuracies are of the same pictures; `prompt_spread` says how far they lie
apart. Wordings that are all alike still differ by chance: `spread_by_chance` is how far, with the
answers to each picture shuffled over the wordings, and `p` how often at least as far.

Shape suffixes: T templates, N pictures, R resamples.
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
    """Spread with basic bootstrap intervals over the pictures; needs two templates.

    Raises:
        ValueError: fewer than two templates, no pictures, or rows that are not the templates'.
    """
    num_templates, n = correct_TN.shape
    if num_templates < 2 or n == 0 or num_templates != len(templates):
        raise ValueError(f"no spread of {len(templates)} templates over answers {correct_TN.shape}")
    answers_NT = correct_TN.T.astype(np.float64)
    accuracy_T = answers_NT.mean(axis=0)
    rng = np.random.default_rng(seed)
    drawn, shuffled = np.empty((resamples, 2)), np.empty(resamples)
    for resample in range(resamples):
        drawn[resample] = _spread_and_std(answers_NT[rng.integers(n, size=n)].mean(axis=0))
        shuffled[resample] = np.ptp(rng.permuted(answers_NT, axis=1).mean(axis=0))
    spread, std = _spread_and_std(accuracy_T)
    # A hair is allowed for: sums of the same answers in another order may differ in the last bit.
    at_least = int((shuffled >= spread - 1e-12).sum())
    return PromptSpread(
        n=n,
        num_templates=num_templates,
        best=templates[int(accuracy_T.argmax())],
        worst=templates[int(accuracy_T.argmin())],
        spread=spread,
        spread_interval=_basic_interval(spread, drawn[:, 0]),
        std=std,
        std_interval=_basic_interval(std, drawn[:, 1]),
        spread_by_chance=float(shuffled.mean()),
        p=(at_least + 1) / (resamples + 1),
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


def _spread_and_std(accuracy_T: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.ptp(accuracy_T)), float(accuracy_T.std(ddof=1))


def _basic_interval(value: float, drawn_R: NDArray[np.float64]) -> Interval:
    """Reversed, because resamples spread further than the pictures did; not below 0."""
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    return max(0.0, float(2 * value - high)), max(0.0, float(2 * value - low))
