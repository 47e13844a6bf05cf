"""The fast matching is MetaCLIP's rule, entry by entry."""

import json
import random
from pathlib import Path

import pytest

from diagonal_eval.scores.concepts import Concepts, read_concepts, spaced
from diagonal_infra.errors import UserError

ENTRIES = ["red", "red car", "car", "New York", "york", "a b c", "b", "c ,", ",", "dog:", "  ", ""]


def by_searching(entries: list[str], caption: str) -> list[int]:
    text = f" {caption} "
    for sign in ",.;:?!`":
        text = text.replace(sign, f" {sign} ")
    for blank in "\t\n\r":
        text = text.replace(blank, " ")
    places = {}
    for place, entry in enumerate(entries):
        if entry and f" {entry} " in text:
            places.setdefault(entry, place)
    return sorted(places.values())


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("a red car", ["red", "red car", "car"]),
        ("red, car", ["red", "car", ","]),
        ("Red cars", []),
        ("in New York!", ["New York"]),
        ("new york", ["york"]),
        ("a\tb\nc", ["a b c", "b"]),
        ("dog: good", []),
        ("", []),
    ],
)
def test_entries_are_whole_words_with_their_case(caption: str, found: list[str]) -> None:
    assert [ENTRIES[place] for place in Concepts(ENTRIES).matches(caption)] == found


def test_it_finds_what_searching_for_every_entry_finds() -> None:
    dice = random.Random(0)
    words = ["a", "b", "c", "red", "car", "New", "York", ",", "dog:", "", "?"]
    entries = [" ".join(dice.choices(words, k=dice.randint(1, 4))) for _ in range(300)]
    concepts = Concepts(entries)
    hits = 0
    for _ in range(500):
        joined = [dice.choice(words) + dice.choice([" ", " ", ", ", "\t", "!"]) for _ in range(9)]
        caption = "".join(joined)
        expected = by_searching(entries, caption)
        assert concepts.matches(caption) == expected, caption
        hits += len(expected)
    assert hits > 1000


def test_the_text_is_spaced_as_published() -> None:
    assert spaced("a,b\tc") == " a , b c "


@pytest.mark.parametrize(
    ("name", "text"), [("m.json", '["red", "New York"]'), ("m.txt", "red\nNew York\n")]
)
def test_lists_are_json_or_lines(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_concepts(str(path)).matches("New York in red") == [0, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "no UTF-8 text or JSON"),
        ("a.json", json.dumps({"red": 1}).encode(), "must be a JSON list"),
        ("a.json", b"[1]", "must be a JSON list"),
        ("a.txt", b"", "no entries"),
        ("a.txt", b"\xff\xfe", "no UTF-8"),
    ],
)
def test_what_is_no_list_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_concepts(str(path))
    with pytest.raises(UserError, match="no such file"):
        read_concepts(str(tmp_path / "nowhere.json"))
