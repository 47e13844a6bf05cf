import random

import pyarrow as pa

from diagonal_data.filters.words import count_words

SIGNS = [
    "a",
    "b",
    " ",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2003",
    "é",
    "日",
    "\x1c",
    "\x85",
    "😀",
    "\u2028",
    "",
]


def test_words_are_those_of_split() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices(SIGNS, k=rng.randrange(9))) for _ in range(5000)]
    expected = [len(text.split()) for text in texts]
    assert count_words(pa.array(texts)).tolist() == expected
    assert count_words(pa.array(texts)[7:90]).tolist() == expected[7:90]


def test_every_white_space_of_unicode_separates() -> None:
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    assert count_words(pa.array([f"a{space}b" for space in spaces])).tolist() == [2] * len(spaces)


def test_no_caption_has_no_words() -> None:
    assert count_words(pa.array([None, "", "a b", None], pa.string())).tolist() == [0, 0, 2, 0]
    assert count_words(pa.array([], pa.string())).tolist() == []
