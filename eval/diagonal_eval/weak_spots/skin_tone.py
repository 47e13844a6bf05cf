"""Is the label of an emoji found equally often in every skin tone?

Pictures of people and hands in the held-out families, from the packages that 'make demo' fetches:
each concept in all six ways (no tone, which is yellow, and five tones) in every family, so that
concepts and families weigh alike in each group. The demo trains on the toneless drawings of other
families only.

    groups   skin_tone: none, light, medium-light, medium, medium-dark, dark;  family: the drawing's
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagonal_data.demo.emoji import HELD_OUT_STYLES, LABELS, package_dir
from diagonal_data.demo.render import WHITE, Look, render
from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.spread import Spread, paired_spread
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.page import classification_set
from diagonal_infra.errors import UserError

TONES = ("none", "light", "medium-light", "medium", "medium-dark", "dark")
TEMPLATES = ("{}", "an emoji of {}", "{} emoji", "a drawing of {}")
LEAST_CONCEPTS = 2


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One emoji with skin: what it is called, and the code of each tone's variant."""

    label: str
    code_of_tone: dict[str, str]


def skin_tone(config: WeakSpotConfig, name: str) -> EvalSet:
    """As many concepts, drawn by dice, as the wanted number of pictures holds.

    Raises:
        AbsentSetError: the packages are not there.
        UserError: too few pictures are wanted, or too few drawings are there.
    """
    families = {family: _read_icons(config.packages, family) for family in sorted(HELD_OUT_STYLES)}
    complete = [
        concept
        for concept in read_concepts(config.packages)
        if all(set(concept.code_of_tone.values()) <= icons.keys() for icons in families.values())
    ]
    num_concepts = config.num_pictures // (len(TONES) * len(families))
    if min(num_concepts, len(complete)) < LEAST_CONCEPTS:
        raise UserError(
            f"{name} shows at least {LEAST_CONCEPTS} concepts in {len(TONES)} tones and "
            f"{len(families)} families; --num-pictures {config.num_pictures} is too few, or "
            f"{config.packages!r} holds too few drawings ({len(complete)} concepts)"
        )
    mixed = Random(f"{config.seed} {name}").sample(complete, len(complete))
    chosen = sorted(mixed[:num_concepts], key=lambda concept: concept.label)
    rows = [
        (label, family, tone, _draw(icons[concept.code_of_tone[tone]], config.side))
        for label, concept in enumerate(chosen)
        for family, icons in families.items()
        for tone in TONES
    ]
    return classification_set(
        name,
        [picture for *_, picture in rows],
        [label for label, *_ in rows],
        class_names=[concept.label for concept in chosen],
        templates=TEMPLATES,
        groups={
            "skin_tone": tuple(tone for _, _, tone, _ in rows),
            "family": tuple(family for _, family, _, _ in rows),
        },
    )


def tone_spread(evalset: EvalSet, correct_N: NDArray[np.bool_], *, seed: int) -> Spread:
    """How far the tones' accuracies lie apart; each drawing is held against itself in other tones.

    That finds smaller gaps than comparing groups of pictures that have nothing to do with each
    other.

    Raises:
        ValueError: no drawing is there in every tone.
    """
    assert evalset.labels_N is not None
    drawings = zip(evalset.labels_N.tolist(), evalset.groups["family"], strict=True)
    answers: dict[tuple[int, str], dict[str, bool]] = defaultdict(dict)
    for drawing, tone, correct in zip(
        drawings, evalset.groups["skin_tone"], correct_N, strict=True
    ):
        answers[drawing][tone] = bool(correct)
    # A part of the set can hold drawings that lack a tone.
    complete = [of_tone for of_tone in answers.values() if len(of_tone) == len(TONES)]
    correct_TN = np.array([[of_tone[tone] for of_tone in complete] for tone in TONES], dtype=bool)
    return paired_spread(correct_TN, TONES, seed=seed)


def read_concepts(packages: str) -> list[Concept]:
    """Emoji with exactly one tone for the whole of it: couples can have two.

    Raises:
        AbsentSetError: the package with the labels is not there.
    """
    path = package_dir(Path(packages), *LABELS) / "en/data.json"
    return list(_concepts_in(_read_json(path)))


def _concepts_in(entries: list[dict[str, Any]]) -> Iterator[Concept]:
    for entry in entries:
        codes = {"none": _plain(entry["hexcode"])}
        for variant in entry.get("skins", ()):
            if isinstance(variant.get("tone"), int):
                codes[TONES[variant["tone"]]] = _plain(variant["hexcode"])
        if len(codes) == len(TONES):
            yield Concept(label=entry["label"], code_of_tone=codes)


def _read_icons(packages: str, family: str) -> dict[str, str]:
    """SVG documents of a family by code; a family that lists no codes has none."""
    name, version = f"@iconify-json/{family}", HELD_OUT_STYLES[family]
    folder = package_dir(Path(packages), name, version)
    icons = _read_json(folder / "icons.json")
    width, height = icons.get("width", 16), icons.get("height", 16)
    return {
        _plain(code): (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {icon.get("width", width)} {icon.get("height", height)}">'
            f"{icon['body']}</svg>"
        )
        for code, icon_name in _read_json(folder / "chars.json").items()
        if (icon := icons["icons"].get(icon_name)) is not None
    }


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise AbsentSetError(f"no emoji packages at {str(path)!r}; 'make demo' fetches them")
    return json.loads(path.read_bytes())


def _plain(code: str) -> str:
    """Lower case, without the variation selector that some packages write and others do not."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _draw(svg: str, side: int) -> Image.Image:
    png = render(svg, Look(width=side, format="png", background=WHITE))
    with Image.open(BytesIO(png)) as image:
        return image.convert("RGBA")
