import math

import numpy as np
import pytest

from diagonal_data.candidates.language import CLD2_HAN_PROBABILITY, Languages


@pytest.fixture(scope="module")
def languages() -> Languages:
    return Languages()


@pytest.mark.parametrize(
    ("caption", "lang"),
    [
        ("a red bicycle leaning against the wall of an old house", "en"),
        ("RED BICYCLE FOR SALE NEAR THE OLD TOWN", "en"),
        ("ein rotes Fahrrad lehnt an der Wand", "de"),
        ("un vélo rouge appuyé contre le mur", "fr"),
        ("the line\nends here\r\nand goes on", "en"),
        ("赤い自転車", "ja"),
        ("搞怪", "zh"),
        ("красный велосипед у стены", "ru"),
        ("دراجة حمراء بجانب الجدار", "ar"),
    ],
)
def test_a_caption_has_a_language(languages: Languages, caption: str, lang: str) -> None:
    (found,), (probability,) = languages.detect([caption])
    assert found == lang
    assert 0.2 <= probability <= 1.0


def test_a_caption_without_a_letter_has_none(languages: Languages) -> None:
    found, probabilities = languages.detect(["", "  \n ", "12 / 34", "😀🎉", "a fox in the snow"])
    assert found == [None, None, None, None, "en"]
    assert [math.isnan(p) for p in probabilities] == [True] * 4 + [False]
    assert probabilities.dtype == np.float32


def test_cld2_answers_where_fasttext_is_often_wrong(languages: Languages) -> None:
    """Of these, fastText alone takes none for Chinese."""
    found, probabilities = languages.detect(["书呆子脸", "搞怪", "脸红的微笑"])
    assert found == ["zh"] * 3
    assert probabilities.min() >= np.float32(CLD2_HAN_PROBABILITY)


def test_neighbours_do_not_matter(languages: Languages) -> None:
    captions = ["a red fox in the snow", "ein Fuchs im Schnee", "", "一只狐狸"]
    together = languages.detect(captions)[0]
    assert together == [languages.detect([caption])[0][0] for caption in captions]


@pytest.mark.parametrize(
    "caption", ["x" * 1_000_000, "\ufdd0\uffff ab", "a\0b", "\U0010ffff 字", "a" + "\u0301" * 9_999]
)
def test_odd_captions_raise_nothing(languages: Languages, caption: str) -> None:
    assert len(languages.detect([caption])[0]) == 1
