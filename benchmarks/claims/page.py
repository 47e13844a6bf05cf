"""docs/results.md: each claim in three parts, of which the last is written from the record.

The paper   what it says, and where
Here        what was done
Found       differences paired by seed, and whether they are what the claim lets expect
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claims.arms import BASE, CLAIMS
from claims.exam import CONCEPTS, DRAWINGS, KEPT
from claims.table import (
    PROMPT_NAMES,
    difference,
    difference_interval,
    efficiency_sentences,
    final,
    prompt_order,
    seeds_text,
)

WIDTH = 100
"""Characters of a line."""
INTRODUCTION = """# The paper's claims, tried on the demo's drawings

*Learning Transferable Visual Models From Natural Language Supervision* (Radford et al., 2021)
gives reasons for how CLIP is trained. Here they are tried on `make demo`'s data, at a size that two
cores can repeat. This page is written by the command that measures:

```console
make demo
make bench WHAT=claims
```

**What all runs share.** {kept:,} captioned drawings in six styles, the demo's model (a ResNet of 33
MFLOPs, a text encoder of one layer), its augmentation and its optimizer, {samples:,} samples seen
({passes:.0f} passes; the demo itself takes four times as many), {seeds}. One thing is changed
at a time. The recipe was chosen for the contrastive ResNet with batches of 128, and nothing was
tuned for the arms that differ, which favours the former.

**What is measured.** Two styles of drawing are kept out of training. Each of their {drawings:,}
drawings of known concepts is named by the model: which of 143 names fits best? The {concepts:,}
concepts are dealt into ten such lists, because the model that predicts captions has to read every
name for every drawing; chance is 0.7 %. Differences are means over seeds, in points of accuracy,
with a 95 % interval of the paired differences; so few seeds make it wide, and what it does not
settle is called open. Data 60,000 times smaller than the paper's can refute nothing there: what is
found the other way round is found at this size. [All figures]({results})."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The parts of a claim that do not depend on what was found."""

    title: str
    paper: str
    here: str
    expected: Mapping[str, int]
    """+1 or −1 by arm: whether the claim lets it be better or worse than the base."""


SECTIONS = {
    "batch size": Section(
        title="Large batches",
        paper="Trains with 32,768 pairs a batch (§2.5), each told from all others; it shows no "
        "smaller ones. The idea: more negatives make a harder and so more telling task.",
        here="32, 128 and 512 pairs at the same samples seen, so 1,600, 400 and 100 updates; the "
        "learning rate goes with the root of the batch size. A larger batch has to make up for "
        "fewer updates, which costs most in a run as short as this.",
        expected={"batch-32": -1, "batch-512": 1},
    ),
    "data size": Section(
        title="More data",
        paper="Collected 400 million pairs because what there was, such as 15 million usable ones "
        "of YFCC100M, was too little (§2.2).",
        here="A quarter, a half and all of the kept samples, drawn anew for each seed, at the same "
        "samples seen: fewer samples are seen more often.",
        expected={"data-quarter": -1, "data-half": -1},
    ),
    "backbone": Section(
        title="ResNet or vision transformer",
        paper="Vision transformers are about three times as compute-efficient as ResNets (§3.2, "
        "Figure 10), trained on enough data.",
        here="The demo's ResNet (33.4 MFLOPs a picture, 1.1 M parameters) and a vision transformer "
        "of 4 layers, width 96 and patches of 8 pixels (36.2 MFLOPs, 0.5 M), same learning rate.",
        expected={"vit": 1},
    ),
    "temperature": Section(
        title="A learned temperature",
        paper="Learns the logit scale, from 1/0.07 on and at most 100, so that it need not be "
        "tuned (§2.3, §2.5).",
        here="Learned from 14.3 on; fixed there; fixed at 100, the bound, where the released "
        "models end. The claim is not that learning beats the best fixed value, only that none "
        "has to be searched for.",
        expected={"fixed-14": -1, "fixed-100": -1},
    ),
}
EFFICIENCY = Section(
    title="Contrastive training is the efficient one",
    paper="In zero-shot ImageNet accuracy over images seen, predicting a bag of words is 3× as "
    "efficient as predicting the caption with a transformer, and the contrastive objective "
    "another 4× (§2.3, Figure 2).",
    here="The same image encoder, data order, augmentation and schedule under three objectives: "
    "the contrastive one; a linear layer that predicts which words the caption has; a causal "
    "transformer of one layer and width 128 that predicts the caption. Names are scored by cosine "
    "with the prompt ensemble, by the mean log-probability of their words, and by their "
    "likelihood. The two that predict favour frequent words, so they may also take a name's mean "
    "score over all drawings off (`centred`), and their better measure is compared. How many "
    "samples fewer is a cautious figure: it sets a run on its way, with a high learning rate, "
    "against one at its end.",
    expected={},
)
PROMPTS = Section(
    title="Prompt ensembles",
    paper="A prompt in place of the bare name gives 1.3 points on ImageNet and an ensemble of 80 "
    "prompts 3.5 more (§3.1.4).",
    here="The contrastive runs, evaluated with the bare name, with three templates in the manner "
    "of the captions, each alone, and with the mean of all four.",
    expected={"ensemble": 1},
)


def as_page(record: Mapping[str, Any], results: str) -> str:
    """The page, with a link to the table of results."""
    runs, samples = record["runs"], record["samples"]
    parts = [
        INTRODUCTION.format(
            samples=samples,
            passes=samples / KEPT,
            drawings=DRAWINGS,
            kept=KEPT,
            concepts=CONCEPTS,
            seeds=seeds_text(record["seeds"]),
            results=results,
        )
    ]
    if all(arm in runs for arm in (BASE, "words", "captions")):
        parts.append(_section(EFFICIENCY, "efficiency", efficiency_sentences(runs)))
    for claim, arms in CLAIMS.items():
        section = SECTIONS[claim]
        if all(arm in runs for arm in arms):
            found = [
                verdict(
                    f"{arms[arm]} minus {arms[BASE]}",
                    (final(runs, arm, "top1"), final(runs, BASE, "top1")),
                    sign,
                )
                for arm, sign in section.expected.items()
            ]
            parts.append(_section(section, claim.replace(" ", "-"), found))
    if BASE in runs:
        parts.append(_section(PROMPTS, "prompts", _prompt_verdicts(runs[BASE])))
    return "\n\n".join(parts) + "\n"


def verdict(what: str, pair: tuple[Sequence[float], Sequence[float]], sign: int) -> str:
    """The difference of a pair, and whether it is as expected, settled otherwise, or open."""
    found = difference_interval(*pair)
    word = "open"
    if found["low"] > 0 or found["high"] < 0:
        word = "as claimed" if (found["mean"] > 0) == (sign > 0) else "**the other way round**"
    return f"{what}: {difference(*pair)}; {word}."


def _prompt_verdicts(base: Sequence[Mapping[str, Any]]) -> list[str]:
    def values(kind: str) -> list[float]:
        return [run["prompts"][kind]["top1"] for run in base]

    others = [kind for kind in prompt_order(base[0]["prompts"]) if kind != "ensemble"]
    return [
        verdict(
            f"ensemble minus {PROMPT_NAMES.get(kind, f'`{kind}`')}",
            (values("ensemble"), values(kind)),
            1,
        )
        for kind in others
    ]


def _section(section: Section, chart: str, found: Sequence[str]) -> str:
    parts = [
        f"## {section.title}\n{_wrapped(f'**The paper.** {section.paper}')}",
        _wrapped(f"**Here.** {section.here}"),
        "\n".join(["**Found.**", *(_wrapped(f"- {sentence}") for sentence in found)]),
        f"![{section.title}](results/{chart}.svg)",
    ]
    return "\n\n".join(parts)


def _wrapped(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
