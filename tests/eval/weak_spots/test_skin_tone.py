import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.eval.weak_spots.oracle import pixels

from diagonal_data.demo.emoji import HELD_OUT_STYLES, LABELS, package_dir
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_eval.weak_spots.skin_tone import TONES, read_concepts, tone_spread
from diagonal_infra.errors import UserError

FILLS = ("#ffcc00", "#f7dece", "#f3d2a2", "#d5ab88", "#af7e57", "#7c533e")
CODES = ("1F44B", "1F44D", "1F590-FE0F")
MODIFIERS = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")


def toned(code: str) -> list[str]:
    return [code, *(f"{code.removesuffix('-FE0F')}-{modifier}" for modifier in MODIFIERS)]


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """Three hands in two families; a couple with two tones, and a thing without any."""
    entries = [
        {
            "hexcode": code,
            "label": f"hand {number}",
            "skins": [{"hexcode": c, "tone": t} for t, c in enumerate(toned(code)[1:], start=1)],
        }
        for number, code in enumerate(CODES)
    ]
    couple = {
        "hexcode": "1F46D",
        "label": "couple",
        "skins": [{"hexcode": "1F46D-1F3FB-1F3FC", "tone": [1, 2]}],
    }
    labels = package_dir(tmp_path, *LABELS) / "en"
    labels.mkdir(parents=True)
    (labels / "data.json").write_text(
        json.dumps([*entries, couple, {"hexcode": "1F511", "label": "key"}])
    )
    for family, version in HELD_OUT_STYLES.items():
        folder = package_dir(tmp_path, f"@iconify-json/{family}", version)
        folder.mkdir()
        names = {
            c.lower(): f"{code}-{t}".lower() for code in CODES for t, c in enumerate(toned(code))
        }
        icons = {
            name: {"body": f'<path fill="{FILLS[int(name[-1])]}" d="M2 2h{8 + i % 5}v10H2z"/>'}
            for i, name in enumerate(names.values())
        }
        (folder / "chars.json").write_text(json.dumps(names))
        (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 16, "height": 16}))
    return str(tmp_path)


def test_every_concept_is_there_in_every_tone_and_family(packages: str) -> None:
    evalset = WEAK_SPOTS["weak/skin-tone"](WeakSpotConfig(packages=packages, side=64))
    assert evalset.labels_N is not None
    assert evalset.class_names == ("hand 0", "hand 1", "hand 2")
    tones, families = evalset.groups["skin_tone"], evalset.groups["family"]
    counts = Counter(zip(evalset.labels_N.tolist(), tones, families, strict=True))
    assert len(counts) == 3 * 6 * 2
    assert set(counts.values()) == {1}


def test_the_drawing_has_the_tone_of_its_group(packages: str) -> None:
    evalset = WEAK_SPOTS["weak/skin-tone"](WeakSpotConfig(packages=packages, side=64))
    fill_of = {str(tone): fill for tone, fill in zip(TONES, FILLS, strict=True)}
    for page, tone in zip(pixels(evalset), evalset.groups["skin_tone"], strict=True):
        rgb = [int(fill_of[tone][i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(page[24, 24].astype(int) - rgb).max() <= 2
        assert (page[-1, -1] == 255).all()


def test_a_tone_that_is_never_right_is_found_by_holding_drawings_against_themselves(
    packages: str,
) -> None:
    evalset = WEAK_SPOTS["weak/skin-tone"](WeakSpotConfig(packages=packages, side=64))
    tone_N = np.array(evalset.groups["skin_tone"])
    spread = tone_spread(evalset, tone_N != "dark", seed=0)
    assert (spread.worst, spread.spread, spread.n) == ("dark", 1.0, 6)
    assert spread.p < 0.01
    family_N = np.array(evalset.groups["family"])
    assert tone_spread(evalset, family_N == "openmoji", seed=0).spread == 0.0


def test_couples_and_things_without_skin_are_left_out(packages: str) -> None:
    assert [concept.label for concept in read_concepts(packages)] == ["hand 0", "hand 1", "hand 2"]


def test_as_many_concepts_as_the_pictures_allow(packages: str) -> None:
    config = WeakSpotConfig(packages=packages, num_pictures=30, side=64)
    assert len(WEAK_SPOTS["weak/skin-tone"](config).keys) == 24
    with pytest.raises(UserError, match="num-pictures 23"):
        WEAK_SPOTS["weak/skin-tone"](WeakSpotConfig(packages=packages, num_pictures=23))
