import numpy as np
import pyarrow as pa

from diagonal_data.candidates.uids import canonical_urls, halves_of, hex_of, uids_for
from diagonal_data.schema import canonical_url, uid_for

URLS = [
    "http://example.org/a.jpg",
    "HTTP://Example.ORG/a.jpg",
    "https://example.org:443/a?x=1",
    "https://example.org:8080/a",
    "https://example.org",
    "https://example.org?q",
    "https://example.org/?",
    "https://example.org/a?b?",
    "https://example.org/a#part",
    "https://example.org/a?b#part",
    "https://user@example.org/a",
    "https://example.org//a//b",
    "https://example.org/ü.jpg",
    "https://exämple.org/a",
    "https://example.org/a b",
    "  https://example.org/a ",
    "https://example.org/a\x00",
    "https://example.org/[x]'!$%7e~",
    "https://[::1]/a",
    "https://ex_ample.org/a",
    "no url",
    "",
]


def test_uids_are_those_of_single_rows() -> None:
    captions = [f"caption {number} é" for number in range(len(URLS))]
    uids = uids_for(pa.array(URLS), pa.array(captions))
    assert hex_of(uids).to_pylist() == [
        uid_for(url, caption) for url, caption in zip(URLS, captions, strict=True)
    ]


def test_urls_are_spelled_as_single_ones() -> None:
    assert canonical_urls(pa.array(URLS)).to_pylist() == [canonical_url(url) for url in URLS]


def test_slices_have_their_own_halves_and_digits() -> None:
    uids = uids_for(pa.array(URLS), pa.array(URLS)).slice(3, 4)
    texts = hex_of(uids).to_pylist()
    assert texts == [uid_for(url, url) for url in URLS[3:7]]
    halves = [[int(text[:16], 16), int(text[16:], 16)] for text in texts]
    assert (halves_of(uids) == np.array(halves, np.uint64)).all()
