import gzip
import json
from math import log2
from pathlib import Path

import pytest

from diagonal_data.candidates.metadata import (
    BoundedCounter,
    MetadataConfig,
    bigrams_of,
    build_entries,
    can_match,
    main,
    titles_of,
)
from diagonal_infra.errors import UserError


def test_words_and_bigrams_are_kept_by_count_and_information(tmp_path: Path) -> None:
    lines = ["red car"] * 8 + ["the red, the car", "New York"] * 4 + ["rare bird", "the the"]
    (tmp_path / "a.txt").write_text("\n".join(lines[::2]))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines[1::2]).encode()))
    config = MetadataConfig(
        output=str(tmp_path / "entries.txt"),
        corpus=(str(tmp_path / "*.txt*"),),
        min_count=4,
        min_pmi=1.0,
    )
    total = 8 * 2 + 4 * 4 + 4 * 2 + 4
    assert log2(8 * total / (12 * 12)) > 1 > log2(4 * total / (10 * 12))
    entries, report = build_entries(config)
    assert entries == ["New", "New York", "York", "car", "red", "red car", "the"]
    expected = {"words": 5, "bigrams": 2, "titles": 0, "wordnet": 0, "total": 7}
    assert report == expected | {"undercounted_by_at_most": 0}


def test_the_best_bigrams_stay_under_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("New York\n" * 9 + "a b\na c\nb a\nc a\n" * 9)
    config = MetadataConfig(
        output="", corpus=(str(tmp_path / "a.txt"),), min_count=9, min_pmi=-9, max_bigrams=1
    )
    assert [entry for entry in build_entries(config)[0] if " " in entry] == ["New York"]


def test_bigrams_are_words_with_one_blank_between() -> None:
    kept = {"a", "b", "it's"}
    assert list(bigrams_of("a b, a  b x a it's", kept)) == ["a b", "a it's"]


def test_titles_and_wordnet_come_after_and_count_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "titles").write_text("Red_car\t70\nBlue_car\t69\nSt. Louis\nred\n\n")
    folder = tmp_path / "wordnet"
    folder.mkdir()
    (folder / "index.noun").write_text("  1 a licence\nred n 1 0\nhot_dog n 1 0\n")
    (folder / "index.sense").write_text("not%1 n 1\n")
    config = MetadataConfig(
        output=str(tmp_path / "entries.txt"),
        titles=(str(tmp_path / "titles"),),
        wordnet=str(folder),
    )
    main(config)
    assert (tmp_path / "entries.txt").read_text() == "Red car\nhot dog\nred\n"
    report = json.loads((tmp_path / "entries.json").read_text())["entries"]
    assert (report["titles"], report["wordnet"], report["total"]) == (2, 1, 3)


def test_titles_with_too_few_views_are_left_out() -> None:
    assert list(titles_of(["a\t5", "b\t50", "c", "d\tx"], 10)) == ["b", "c"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [("red car", True), ("a , b", True), ("St. Louis", False), ("a\tb", False), ("", False)],
)
def test_entries_that_no_caption_can_hold_are_left_out(entry: str, expected: bool) -> None:
    assert can_match(entry, 256) == expected
    assert not can_match("x" * 257, 256)


def test_a_full_counter_forgets_the_rarest_and_says_what_was_lost() -> None:
    counter = BoundedCounter(1000)
    for number in range(5000):
        counter.update(["often", "often", str(number)])
    assert len(counter.counts) <= 1000
    assert counter.total == 15_000
    assert 0 < counter.lost < 20
    assert 10_000 - counter.lost <= counter.counts["often"] <= 10_000


def test_what_gives_no_entries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --corpus"):
        main(MetadataConfig(output="x"))
    with pytest.raises(UserError, match="no file matches"):
        main(MetadataConfig(output="x", corpus=(str(tmp_path / "none.txt"),)))
    with pytest.raises(UserError, match=r"has no index\.noun"):
        main(MetadataConfig(output="x", wordnet=str(tmp_path)))
