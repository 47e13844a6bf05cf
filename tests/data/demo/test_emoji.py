import json
import shutil
from pathlib import Path

import pytest

from diagonal_data.demo import emoji


@pytest.fixture
def cache(package_cache: Path, tmp_path: Path) -> Path:
    """A copy of the package cache that the test may change."""
    return Path(shutil.copytree(package_cache, tmp_path / "packages"))


def style_file(cache: Path, style: str, name: str) -> Path:
    return emoji.package_dir(cache, f"@iconify-json/{style}", emoji.styles()[style]) / name


def drop_icon(cache: Path, style: str, icon: str) -> None:
    path = style_file(cache, style, "icons.json")
    content = json.loads(path.read_text())
    del content["icons"][icon]
    path.write_text(json.dumps(content))


def labels_by_style(cache: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for drawing in emoji.read_drawings(cache):
        found.setdefault(drawing.style, set()).add(drawing.concept.label)
    return found


def test_every_style_draws_every_concept(package_cache: Path) -> None:
    found = labels_by_style(package_cache)
    assert list(found) == list(emoji.styles())
    assert {len(labels) for labels in found.values()} == {12}


def test_drawings_are_ordered_by_concept_and_style(package_cache: Path) -> None:
    drawings = emoji.read_drawings(package_cache)
    order = list(emoji.styles())
    keys = [(d.concept.hexcode, order.index(d.style)) for d in drawings]
    assert keys == sorted(keys)


def test_a_drawing_is_a_whole_svg_document(package_cache: Path) -> None:
    drawing = emoji.read_drawings(package_cache)[0]
    assert drawing.svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert 'viewBox="0 0 32 32"' in drawing.svg
    assert drawing.licence == "MIT"


@pytest.mark.parametrize("label", ["red circle", "orange circle"])
def test_names_of_unicode_and_of_chat_programs_are_known(package_cache: Path, label: str) -> None:
    assert label in labels_by_style(package_cache)["fxemoji"]


def test_a_name_nobody_knows_is_left_out(cache: Path) -> None:
    path = style_file(cache, "fxemoji", "icons.json")
    path.write_text(path.read_text().replace('"naranja"', '"foxorange"'))
    assert "orange circle" not in labels_by_style(cache)["fxemoji"]


def test_a_bare_letter_and_a_skin_tone_are_no_concepts(cache: Path) -> None:
    for style in emoji.styles():
        path = style_file(cache, style, "icons.json")
        content = json.loads(path.read_text())
        content["icons"]["light-skin-tone"] = {"body": "<path/>"}
        content["icons"]["regional-indicator-a"] = {"body": "<path/>"}
        path.write_text(json.dumps(content))
    assert {len(labels) for labels in labels_by_style(cache).values()} == {12}


def test_a_concept_needs_both_held_out_styles(cache: Path) -> None:
    drop_icon(cache, "openmoji", "red-square")
    assert "red square" not in set().union(*labels_by_style(cache).values())


def test_a_concept_needs_two_training_styles(cache: Path) -> None:
    for style in list(emoji.TRAIN_STYLES)[:-2]:
        drop_icon(cache, style, "red-square")
    assert "red square" in labels_by_style(cache)["openmoji"]
    drop_icon(cache, list(emoji.TRAIN_STYLES)[-2], "red-square")
    assert "red square" not in labels_by_style(cache)["openmoji"]


@pytest.mark.parametrize(
    ("name", "squashed"),
    [
        ("Flag for: Côte d’Ivoire", "flagcotedivoire"),
        ("black-medium-small_square", "blackmediumsmallsquare"),
        ("woman & man", "womanandman"),
    ],
)
def test_names_are_compared_without_case_and_marks(name: str, squashed: str) -> None:
    assert emoji._squash(name) == squashed


def test_packages_in_the_cache_are_not_fetched_again(
    package_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    before = sorted(package_cache.rglob("*"))
    emoji.fetch_packages(package_cache)
    assert sorted(package_cache.rglob("*")) == before


def test_without_npm_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="install Node"):
        emoji.fetch_packages(tmp_path)
