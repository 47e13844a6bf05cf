"""What the benchmark of duplicates computes and writes; the measuring itself is `make bench`."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.dedup.small_dataset import encoded, picture

import dedup
import dedup_corpus
import dedup_quality

NUMBER = 400


def test_planted_hashes_are_as_far_from_their_originals_as_said() -> None:
    hashes, original = dedup.planted_hashes(NUMBER, 6)
    apart = np.bitwise_count(hashes ^ hashes[original])
    copied = original != np.arange(NUMBER)
    assert copied.sum() == NUMBER * dedup.PLANTED_SHARE
    assert set(apart[copied].tolist()) <= set(range(1, 7))
    assert len(set(apart[copied].tolist())) > 2


def test_the_comparison_of_all_pairs_sees_a_pair_that_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes, _ = dedup.planted_hashes(NUMBER, 3)
    assert dedup.same_as_all_pairs(hashes, 3)
    monkeypatch.setattr(dedup, "near_clusters", lambda hashes, _mask, _bits: np.arange(NUMBER))
    assert not dedup.same_as_all_pairs(hashes, 3)


def test_distinct_drawings_do_not_resemble_each_other() -> None:
    first, again, other = picture(1, 200), picture(1, 100), picture(2)
    white = np.full((64, 64, 3), 255, np.uint8)
    contents = [encoded(pixels) for pixels in (first, again, other, white, other)]
    rows = dedup_corpus.distinct(contents, 10, np.random.default_rng(0))
    assert len(rows) == 2
    assert len({0, 1} & set(rows.tolist())) == 1
    assert len(dedup_corpus.distinct(contents, 1, np.random.default_rng(0))) == 1


@pytest.mark.parametrize("kind", dedup_corpus.CHANGES)
def test_a_planted_copy_is_another_picture_and_the_same_again(kind: str) -> None:
    def changed() -> bytes:
        return dedup_corpus.stored_again(
            dedup_corpus.CHANGES[kind](picture(1, 128), np.random.default_rng(3))
        )

    assert changed() == changed()
    assert changed() != dedup_corpus.stored_again(picture(1, 128))


def test_the_result_says_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "JOIN_HASHES", 300)
    monkeypatch.setattr(dedup, "LOOP_HASHES", 50)
    contents = [dedup_corpus.stored_again(picture(seed, 128)) for seed in range(12)]
    found = dedup_quality.measure(contents, 6, 1)
    resized = found["pdq"]["kinds"]["resize"]["40"]
    assert (resized["planted"], resized["recall"], resized["precision"]) == (6, 1, 1)
    assert found["phash"]["kinds"]["flip"]["2"]["recall"] == 0
    assert found["pdq and colours"]["taken_for_copies"]["40"] == 0
    record = {
        "machine": "a machine",
        "date": "2026-11-23",
        "code_revision": "0123456789",
        "speed": dedup.speed(1_000),
        "drawings": {"all": 12, "distinct": 12, "planted": 6},
        "quality": found,
    }
    text = dedup.as_markdown(json.loads(json.dumps(record)))
    assert "| diagonal | 8 |" in text
    assert "100.0000% | yes |" in text
    assert "### pdq and colours" in text
    assert "| 40 | 1.000, 1.000 |" in text


def test_an_icon_becomes_a_whole_svg(tmp_path: Path) -> None:
    package = tmp_path / "iconify-json-twemoji-1.2.5"
    package.mkdir()
    icons = {
        "cat": {"body": "<g/>"},
        "flag-france": {"body": "<g/>"},
        "hand-light-skin-tone": {"body": "<g/>"},
        "old": {"body": "<g/>", "hidden": True},
    }
    (package / "icons.json").write_text(json.dumps({"icons": icons, "width": 36, "height": 36}))
    ((name, svg),) = dedup_corpus.icons(package)
    assert name == "iconify-json-twemoji-1.2.5/cat"
    assert 'viewBox="0 0 36 36"><g/></svg>' in svg
