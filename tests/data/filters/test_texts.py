"""Words, characters and hosts as Python counts and finds them."""

import random

import pyarrow as pa

from diagonal_data.filters.texts import count_characters, count_words, host_names
from diagonal_data.rows import host_of

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


def test_characters_are_code_points() -> None:
    assert count_characters(pa.array(["", "é日😀", None])).tolist() == [0, 3, None]


def test_hosts_are_those_of_the_urls() -> None:
    urls = [
        *("https://A.example/x", "http://a.example:80?b@c", "http://u:p@a.example#d", "//a/b", ""),
        *("http://[::1]:80/", "HTTP://É.example/", "no url", "http://a.example/[b]", "data:,x"),
    ]
    expected = ["" if url == "//a/b" else host_of(url) for url in urls]
    assert host_names(pa.array(urls)).tolist() == expected
    assert host_names(pa.array([None, urls[0]])).tolist() == [None, "a.example"]
