"""The tables: what every arm reached, by claim, and differences paired by seed."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from claims.arms import BASE, CLAIMS
from claims.exam import CONCEPTS, LISTS
from paired import interval

CHOICES = {"top1": "first of 143", "top5": "in first 5 of 143", "top1_of_all": "first of 1,432"}
CENTRED = "_centred"
CURVES = (
    (BASE, "top1", "contrastive"),
    (BASE, "top1" + CENTRED, "contrastive, centred"),
    ("words", "top1", "words"),
    ("words", "top1" + CENTRED, "words, centred"),
    ("captions", "top1", "caption"),
    ("captions", "top1" + CENTRED, "caption, centred"),
)
"""Lines of the efficiency claim: arm, measure, name."""
NAMES = {BASE: "contrastive", "words": "word prediction", "captions": "caption prediction"}
PAIRS = ((BASE, "words"), (BASE, "captions"), ("words", "captions"))
PROMPT_NAMES = {"bare": "bare name", "ensemble": "ensemble of four"}


def as_markdown(record: Mapping[str, Any]) -> str:
    """The page."""
    revisions = ", ".join(revision[:7] for revision in record["code_revision"].split(", "))
    parts = [
        "# The CLIP paper's claims on the demo's drawings",
        f"{record['machine']}, {record['date']}, code revision {revisions}. "
        f"{record['samples']:,} samples seen by each run, {seeds_text(record['seeds'])}, "
        f"{record['cpu_seconds'] / 60:.0f} CPU minutes in all.",
        f"Accuracy in % on the held-out styles' seen concepts: mean over seeds (least – most). The "
        f"{CONCEPTS:,} concepts are dealt into {LISTS} lists and a drawing is judged among the 143 "
        "names of its list, and among all. `centred` takes a name's mean score over the drawings "
        "off. Differences are paired by seed, with a 95 % t interval. docs/results.md explains.",
    ]
    runs = record["runs"]
    if all(arm in runs for arm, _, _ in CURVES):
        parts += ["## Efficiency", efficiency_table(runs), *efficiency_sentences(runs)]
    for claim, arms in CLAIMS.items():
        if all(arm in runs for arm in arms):
            parts += [f"## {claim.capitalize()}", claim_table(runs, arms)]
    if BASE in runs:
        parts += ["## Prompts", prompts_table(runs[BASE])]
    return "\n\n".join(parts) + "\n"


def final(runs: Mapping[str, Any], arm: str, measure: str) -> list[float]:
    """A measure at the end of each seed's run."""
    return [run["points"][-1][measure] for run in runs[arm]]


def mean_curve(runs: Mapping[str, Any], arm: str, measure: str) -> list[tuple[int, float]]:
    """Samples seen and the mean over seeds, from chance at 0 on."""
    points = zip(*(run["points"] for run in runs[arm]), strict=True)
    curve = [
        (seeds[0]["samples_seen"], statistics.mean(point[measure] for point in seeds))
        for seeds in points
    ]
    return [(0, LISTS / CONCEPTS), *curve]


def samples_to_reach(curve: Sequence[tuple[int, float]], value: float) -> float | None:
    """Where the curve, taken as straight between its points, first reaches a value."""
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if y0 < value <= y1:
            return x0 + (x1 - x0) * (value - y0) / (y1 - y0)
    return None


def efficiency_table(runs: Mapping[str, Any]) -> str:
    """Accuracy in the course of the runs."""
    seen = [point["samples_seen"] for point in runs[BASE][0]["points"]]
    rows = []
    for arm, measure, name in CURVES:
        at_point = [
            spread([run["points"][i][measure] for run in runs[arm]]) for i in range(len(seen))
        ]
        rows.append([name, *at_point])
    return _table(["predicts", *(f"{samples:,} samples" for samples in seen)], rows)


def efficiency_sentences(runs: Mapping[str, Any]) -> list[str]:
    """By how much each way of training is ahead of the next, and by how many samples."""
    sentences = []
    for arm, other in PAIRS:
        measures = _measure_of(runs, arm), _measure_of(runs, other)
        ahead = difference(final(runs, arm, measures[0]), final(runs, other, measures[1]))
        curves = mean_curve(runs, arm, measures[0]), mean_curve(runs, other, measures[1])
        reached = _reached(NAMES[arm], curves[0], NAMES[other], curves[1])
        sentences.append(f"{NAMES[arm]} minus {NAMES[other]}, at the end: {ahead}. {reached}")
    return sentences


def _measure_of(runs: Mapping[str, Any], arm: str) -> str:
    """Of models that predict, the better of the two: nothing is held against them."""
    choices = ("top1",) if arm == BASE else ("top1", "top1" + CENTRED)
    return max(choices, key=lambda measure: sum(final(runs, arm, measure)))


def _reached(
    name: str, own: Sequence[tuple[int, float]], other_name: str, other: Sequence[tuple[int, float]]
) -> str:
    """How many samples the one that is ahead needs for what the other has at its end."""
    end = own[-1][0]
    if own[-1][1] < other[-1][1]:
        name, own, other_name, other = other_name, other, name, own
    needed = samples_to_reach(own, other[-1][1])
    if needed is None:
        return "Their curves do not meet."
    return (
        f"{name} needs {needed:,.0f} samples for what {other_name} has at {end:,}: "
        f"{end / needed:.1f}× fewer."
    )


def claim_table(runs: Mapping[str, Any], arms: Mapping[str, str]) -> str:
    """The arms of one claim beside the base."""
    rows = []
    for arm, name in arms.items():
        cells = [spread(final(runs, arm, measure)) for measure in CHOICES]
        pair = final(runs, arm, "top1"), final(runs, BASE, "top1")
        scale = statistics.mean(run["logit_scale"] for run in runs[arm])
        rows.append([name, *cells, "–" if arm == BASE else difference(*pair), f"{scale:.1f}"])
    head = ["", *CHOICES.values(), f"minus {arms[BASE]}, first of 143", "logit scale at the end"]
    return _table(head, rows)


def prompts_table(base: Sequence[Mapping[str, Any]]) -> str:
    """Kinds of prompts, on the base runs."""
    rows = []
    for kind in prompt_order(base[0]["prompts"]):
        name = PROMPT_NAMES.get(kind, f"`{kind}`")
        cells = [spread([run["prompts"][kind][measure] for run in base]) for measure in CHOICES]
        minus = []
        for measure in ("top1", "top1_of_all"):
            pair = ([run["prompts"][one][measure] for run in base] for one in (kind, "bare"))
            minus.append("–" if kind == "bare" else difference(*pair))
        rows.append([name, *cells, *minus])
    ends = ["minus bare, of 143", "minus bare, of 1,432"]
    return _table(["prompt", *CHOICES.values(), *ends], rows)


def prompt_order(prompts: Mapping[str, Any]) -> list[str]:
    """The bare name, single templates, and the ensemble last."""
    single = [kind for kind in prompts if kind not in PROMPT_NAMES]
    return ["bare", *single, "ensemble"]


def seeds_text(count: int) -> str:
    """`3 seeds`."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def spread(values: Sequence[float]) -> str:
    """`23.1 (22.0 – 24.3)`, in %."""
    low, high = 100 * min(values), 100 * max(values)
    return f"{100 * statistics.mean(values):.1f} ({low:.1f} – {high:.1f})"


def difference(these: Sequence[float], those: Sequence[float]) -> str:
    """`+1.2 (-0.3 … +2.7)`, in points, paired by seed."""
    found = difference_interval(these, those)
    if math.isinf(found["low"]):
        return f"{found['mean']:+.1f} (one seed)"
    return f"{found['mean']:+.1f} ({found['low']:+.1f} … {found['high']:+.1f})"


def difference_interval(these: Sequence[float], those: Sequence[float]) -> dict[str, float]:
    """Mean, low and high end, in points, paired by seed; one seed may be off by anything."""
    differences = [100 * (a - b) for a, b in zip(these, those, strict=True)]
    if len(differences) == 1:
        return {"mean": differences[0], "low": -math.inf, "high": math.inf}
    return interval(differences)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
