"""The one spelling, and which text of an image becomes its caption."""

import random
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from diagonal_data.candidates.clean import Cleaned, clean_columns, spell, spelled
from diagonal_data.candidates.clean_recipes import CLEAN, LAION, NONE, WEB
from diagonal_data.candidates.clean_rules import MAX_CHARS, CleanRules

TEXTS = pa.list_(pa.string())


def cleaned(rows: Sequence[Sequence[str | None] | None], rules: CleanRules = WEB) -> Cleaned:
    return clean_columns(pa.array(rows, TEXTS), rules)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a  red\n\tfox\u3000in\xa0snow ", "a red fox in snow"),
        ("fish &amp; chips", "fish & chips"),
        ("fish &amp;amp; chips", "fish & chips"),
        ("AT&T &copy 2020 &nonsense; R&D", "AT&T &copy 2020 &nonsense; R&D"),
        ("caf&eacute; &#8364;5 &#x1F600;", "café €5 😀"),
        ("a <b>bold</b> fox<br/>runs", "a bold fox runs"),
        ("if a < b and c > d, <red> too", "if a < b and c > d, <red> too"),
        ("cafÃ© in MÃ¼nchen", "café in München"),
        ("cafe\u0301", "café"),
        ("a\0b\x07c\x7f\u200b\ufeffd\ue001", "abcd"),
        ("\u202eevil\u202c \u200fשלום\u200e", "evil שלום"),
        ("“quotes” ’tis ﬁne ｆｕｌｌ", "“quotes” ’tis ﬁne ｆｕｌｌ"),
        ("👩‍🚀 on 🏴󠁧󠁢󠁳󠁣󠁴󠁿 1️⃣", "👩‍🚀 on 🏴󠁧󠁢󠁳󠁣󠁴󠁿 1️⃣"),
        ("می‌خواهم", "می‌خواهم"),
        ("مرحبا hello שלום", "مرحبا hello שלום"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
    ],
)
def test_the_one_spelling(text: str, expected: str) -> None:
    assert spelled(text) == expected
    assert spell(pa.array([text])).to_pylist() == [expected]


def test_a_column_is_spelled_like_its_texts() -> None:
    draw = random.Random(8)
    pieces = [
        "fox",
        " ",
        "  ",
        "&amp;",
        "<b>",
        "é",
        "e\u0301",
        "\0",
        "Ã©",
        "-",
        "\u200e",
        "😀",
        "日本",
    ]
    texts = ["".join(draw.choices(pieces, k=draw.randrange(9))) for _ in range(3_000)]
    found = spell(pa.array(texts)).to_pylist()
    assert found == [spelled(text) for text in texts]
    assert all(unicodedata.is_normalized("NFC", text) for text in found)


def test_the_first_text_that_survives_is_the_caption() -> None:
    found = cleaned([["IMG_2041.jpg", "A fox", "in the snow"], ["a dog"], ["logo"], [], None])
    assert found.captions.to_pylist() == ["A fox", "a dog", "logo", "", ""]
    assert found.places.tolist() == [1, 0, 0, -1, -1]
    assert found.reasons.to_pylist() == [
        *(None, None, "caption_is_boilerplate"),
        *("no_text", "no_text"),
    ]


def test_where_none_survives_the_text_that_came_furthest_gives_the_reason() -> None:
    found = cleaned([["http://a.test/", "12345", "x.jpg"], ["", "a b"], ["  ", "\u200b"]], WEB)
    assert found.reasons.to_pylist() == ["caption_is_identifier", None, "no_text"]
    assert found.captions.to_pylist() == ["12345", "a b", ""]
    assert found.places.tolist() == [1, 1, 0]


@pytest.mark.parametrize("rules", CLEAN.values(), ids=CLEAN.keys())
def test_a_row_depends_on_no_other_row(rules: CleanRules) -> None:
    texts = ["A fox in the snow", "", "logo", "fox", "the the the", None, "ein Fuchs", "x.png"]
    draw = random.Random(8)
    rows = [draw.choices(texts, k=draw.randrange(4)) for _ in range(300)]
    together = cleaned(rows, rules)
    alone = [cleaned([row], rules) for row in rows]
    assert together.captions.to_pylist() == [row.captions[0].as_py() for row in alone]
    assert together.reasons.to_pylist() == [row.reasons[0].as_py() for row in alone]
    assert together.places.tolist() == [row.places[0] for row in alone]


def test_columns_may_come_in_pieces_and_as_large_strings() -> None:
    rows = [["a fox"], [], ["x.jpg", "a dog"], ["a cat"]]
    whole = cleaned(rows).captions
    pieces = pa.chunked_array([pa.array(rows[:1], TEXTS), pa.array(rows[1:], TEXTS)])
    assert clean_columns(pieces, WEB).captions == whole
    assert clean_columns(pa.array([[], *rows], TEXTS).slice(1), WEB).captions == whole
    assert clean_columns(pa.array(rows, pa.list_(pa.large_string())), WEB).captions == whole
    nothing = clean_columns(pa.array([], TEXTS), WEB)
    assert len(nothing.captions) == len(nothing.places) == len(nothing.reasons) == 0


@pytest.mark.parametrize(
    "piece", ["a", "fox ", "&amp;", "<b ", "é ", "Ã©", "\u202e", "😀", "((", "\n"]
)
def test_a_megabyte_of_text_is_refused_and_cut(piece: str) -> None:
    huge = piece * (1_000_000 // len(piece))
    found = cleaned([[huge], [huge, "a fox"]], NONE)
    assert found.captions.to_pylist()[1] == "a fox"
    assert found.reasons[0].as_py() == "text_too_long"
    assert len(found.captions[0].as_py()) <= 200


def test_the_longest_text_is_kept_by_a_recipe_without_bounds() -> None:
    found = cleaned([["x" * MAX_CHARS], ["x" * (MAX_CHARS + 1)]], NONE)
    assert found.reasons.to_pylist() == [None, "text_too_long"]


def test_emoji_are_a_caption() -> None:
    found = cleaned([["😀🎉🎉"], ["🦊"]], CLEAN["laion"])
    assert found.reasons.to_pylist() == ["too_few_chars", "too_few_chars"]
    assert cleaned([["😀🎉🎉"]]).reasons.to_pylist() == [None]


def test_places_are_numbers_of_texts() -> None:
    found = cleaned([["x", "y"] * 200 + ["long enough"]], LAION)
    assert found.places.tolist() == [400]
    assert found.places.dtype == np.int32
