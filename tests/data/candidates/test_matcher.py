"""The fast matching is MetaCLIP's rule, entry by entry."""

import random
import re

import numpy as np
import pyarrow as pa
import pytest

from diagonal_data.candidates.matcher import ROWS_AT_ONCE, Matcher

ENTRIES = ["red", "red car", "car", "New York", "york", "a b c", "b", "c ,", ",", "dog:", "  ", ""]


def spaced(caption: str) -> str:
    wrapped = re.sub(r"[,.;:?!`]", lambda match: f" {match[0]} ", f" {caption} ")
    return re.sub(r"[\t\n\r]", " ", wrapped)


def by_searching(entries: list[str], caption: str) -> list[int]:
    text = spaced(caption)
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if entry and f" {entry} " in text:
            places.setdefault(entry, place)
    return sorted(places.values())


def found(entries: list[str], captions: list[str], *, spaced: bool = True) -> list[list[int]]:
    return Matcher(entries, spaced=spaced).matches(pa.array(captions, pa.string())).to_pylist()


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red car", ["red", "red car", "car"]),
        ("red, car", ["red", "car", ","]),
        ("Red cars", []),
        ("in New York!", ["New York"]),
        ("new york", ["york"]),
        ("a\tb\nc", ["a b c", "b"]),
        ("dog: good", []),
        ("", []),
        ("red ,", ["red", ","]),
        ("two    blanks", ["  "]),
    ],
)
def test_entries_are_whole_words_with_their_case(caption: str, expected: list[str]) -> None:
    assert [ENTRIES[place] for place in found(ENTRIES, [caption])[0]] == expected


def test_it_finds_what_searching_for_every_entry_finds() -> None:
    dice = random.Random(0)
    words = ["a", "b", "c", "red", "car", "New", "Yorkshire", "extraordinarily-long-word", "é"]
    words += [",", "dog:", "", "?", "extraordinarily-long-wort", "日本", "a\0", "eightlet"]
    entries = [" ".join(dice.choices(words, k=dice.randint(1, 4))) for _ in range(600)]
    ends = [" ", " ", ", ", "\t", "!"]
    captions = [
        "".join(dice.choice(words) + dice.choice(ends) for _ in range(dice.randint(0, 9)))
        for _ in range(1000)
    ]
    expected = [by_searching(entries, caption) for caption in captions]
    assert found(entries, captions) == expected
    assert sum(map(len, expected)) > 1000


def test_without_blanks_entries_match_at_any_character() -> None:
    dice = random.Random(1)
    entries = ["".join(dice.choices("東京都大阪a", k=dice.randint(1, 4))) for _ in range(100)]
    captions = ["".join(dice.choices("東京都大阪ab ", k=12)) for _ in range(200)]
    firsts = {entry: place for place, entry in reversed(list(enumerate(entries)))}
    expected = [sorted(firsts[entry] for entry in firsts if entry in text) for text in captions]
    assert found(entries, [*captions, ""], spaced=False) == [*expected, []]
    assert sum(map(len, expected)) > 300


def test_batches_slices_and_nulls_change_nothing() -> None:
    captions = pa.array(["red", None, "a red car", "no"] * ROWS_AT_ONCE)
    lists = Matcher(ENTRIES).matches(captions)
    assert lists.to_pylist() == [[0], [], [0, 1, 2], []] * ROWS_AT_ONCE
    assert Matcher(ENTRIES).matches(captions.slice(2, 3)).to_pylist() == [[0, 1, 2], [], [0]]
    assert Matcher(ENTRIES).matches(captions.slice(0, 0)).to_pylist() == []


def test_of_equal_entries_the_first_is_found_and_an_empty_list_finds_nothing() -> None:
    assert found(["x y", "x", "x y", "x"], ["x y"]) == [[0, 1]]
    assert found([], ["x y"]) == [[]]
    assert found([""], ["x  y"]) == [[]]


def test_many_words_of_one_length_are_told_apart() -> None:
    entries = [f"w{number:07d}" for number in np.random.default_rng(0).permutation(30_000)]
    captions = [f"{entries[place]} {entries[-place]}" for place in range(1, 2000)]
    assert found(entries, captions) == [sorted({p, 30_000 - p}) for p in range(1, 2000)]
