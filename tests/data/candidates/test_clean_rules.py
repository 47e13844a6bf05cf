"""What each rule speaks against, and what it leaves alone."""

import pyarrow as pa
import pytest

from diagonal_data.candidates.clean import clean_columns
from diagonal_data.candidates.clean_recipes import CLEAN
from diagonal_data.candidates.clean_rules import (
    DETECTORS,
    CaptionReason,
    CleanRules,
    without_phrases,
)
from diagonal_data.candidates.phrases import BOILERPLATE

ALL = CleanRules(detects=DETECTORS)


def reason(text: str, rules: CleanRules) -> str | None:
    return clean_columns(pa.array([[text]]), rules).reasons[0].as_py()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.test/x", "url"),
        ("Photo from http://a.test", "url"),
        ("www.example.com", "url"),
        ("flickr.com/photos/x", "url"),
        ("Example.co.uk", "url"),
        ("a fox, i.e. an animal", None),
        ("Yahoo! and U.S. Steel", None),
        ("red-fox.jpg", "file_name"),
        ("My holiday in Rome.JPEG", "file_name"),
        ("IMG_2041", "file_name"),
        ("DSC 01234 (2)", "file_name"),
        ("Screenshot 2021-03-04 at 10.11.12 PM", "file_name"),
        ("WhatsApp Image 2021-03-04 at 10.11.12", "file_name"),
        ("a jpg of a fox", None),
        ("Image of 2 foxes", None),
        ("12345", "identifier"),
        ("2021-03-04 10:11", "identifier"),
        ("---", "identifier"),
        ("$12.99", "identifier"),
        ("9f8e7d6c5b4a", "identifier"),
        ("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "identifier"),
        ("B07XYZ1234", "identifier"),
        ("product_image", "identifier"),
        ("facade", None),
        ("COVID-19", None),
        ("Apollo 11", None),
        ("2023年東京の夜景", None),
        ("1️⃣", None),
        ("🦊", None),
        ("Logo", "boilerplate"),
        ("[Note]", "boilerplate"),
        ("« Previous", "boilerplate"),
        ("Click to enlarge", "boilerplate"),
        ("Click here to view the larger picture", "boilerplate"),
        ("Image 3 of 12", "boilerplate"),
        ("Figure 7.", "boilerplate"),
        ("KEIN BILD", "boilerplate"),
        ("画像", "boilerplate"),
        ("Logo of the Bauhaus school", None),
        ("Figure skating", None),
        ("map", None),
    ],
)
def test_detectors(text: str, expected: str | None) -> None:
    assert reason(text, ALL) == (expected and f"caption_is_{expected}")
    assert reason(text, CLEAN["none"]) is None


@pytest.mark.parametrize(
    ("recipe", "text", "expected"),
    [
        ("none", "x", None),
        ("laion", "a fo", "too_few_chars"),
        ("laion", "a fox", None),
        ("laion", "IMG_2041.jpg", None),
        ("datacomp", "a b c", "too_few_chars"),
        ("datacomp", "a fo x", None),
        ("datacomp", "red foxes", "too_few_words"),
        ("coyo", "red foxes", "too_few_words"),
        ("coyo", "a b c", "too_few_chars"),
        ("coyo", "a red fox", None),
        ("coyo", "a " * 256, None),
        ("coyo", "a " * 257, "too_many_words"),
        ("coyo", "three words " + "x" * 988, None),
        ("coyo", "three words " + "x" * 989, "too_many_chars"),
        ("align", "red fox", "too_few_words"),
        ("align", "a " * 20, None),
        ("align", "a " * 21, "too_many_words"),
        ("cc3m", "A fox in the snow", None),
        ("cc3m", "a fox in the snow", "caption_capitals"),
        ("cc3m", "A Red Fox In The Snow", "caption_capitals"),
        ("cc3m", "Foxes in snow", "no_determiner"),
        ("cc3m", "Some foxes", "no_preposition"),
        ("cc3m", "The fox in the snow in May", "caption_repeats"),
        ("cc3m", "The stock photo of a fox", None),
        ("cc3m", "stock photo", "no_text"),
        ("cc12m", "a fox in the snow", None),
        ("cc12m", "the fox", "too_few_words"),
        ("cc12m", "red foxes run", "no_determiner"),
        ("cc12m", "the fox and the dog", None),
        ("cc12m", "the fox, the dog", "caption_repeats"),
        ("web", "狐狸在雪地里", None),
        ("web", "狐狸", "too_few_chars"),
        ("web", "buy buy buy buy buy", "caption_repeats"),
        ("web", "x" * 1001, "too_many_chars"),
    ],
)
def test_recipes(recipe: str, text: str, expected: str | None) -> None:
    assert reason(text, CLEAN[recipe]) == expected


def test_every_reason_is_given_by_some_recipe_or_named_elsewhere() -> None:
    elsewhere = {CaptionReason.OTHER_LANGUAGE}
    texts = ["", "x" * 30_000, "www.a.test", "x.jpg", "12", "logo", "a", "x" * 1001, "red foxes"]
    texts += ["a " * 21, "a a a a", "a fox in snow", "Foxes in snow", "Some foxes"]
    given = {reason(text, rules) for text in texts for rules in CLEAN.values()}
    assert given - {None} == set(CaptionReason) - elsewhere


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A fox - Click to enlarge picture", "A fox"),
        ("Royalty-free stock photo: a fox", "a fox"),
        ("Fox | Stock Images", "Fox"),
        ("a fox in stock", "a fox in stock"),
        ("stockphotos of a fox", "stockphotos of a fox"),
    ],
)
def test_phrases_are_cut_out(text: str, expected: str) -> None:
    assert without_phrases(pa.array([text])).to_pylist() == [expected]


def test_boilerplate_is_written_as_it_is_compared() -> None:
    for phrase in BOILERPLATE - {"n/a", "pas d'image"}:
        assert phrase == phrase.lower().strip()
        assert reason(f" *{phrase.upper()}! ", ALL) == "caption_is_boilerplate", phrase
