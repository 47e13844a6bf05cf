import json

import pytest

from diagonal_data.opt_outs import opt_out_in_headers, parse_tdmrep, reservation_at
from diagonal_data.robots import MOST_RULES


@pytest.mark.parametrize(
    ("headers", "tags", "said"),
    [
        ({}, (), None),
        ({}, ("noai",), "X-Robots-Tag: noai"),
        ({}, ("all", "noml"), "X-Robots-Tag: all, noml"),
        ({}, ("nofollow",), None),
        ({"tdm-reservation": "1"}, (), "tdm-reservation: 1"),
        ({"tdm-reservation": " 1 "}, (), "tdm-reservation: 1"),
        ({"tdm-reservation": "0"}, (), None),
        ({"content-usage": "train-ai=n"}, (), "Content-Usage: train-ai=n"),
        (
            {"content-usage": "search=y, Train-AI=n;x=1"},
            (),
            "Content-Usage: search=y, Train-AI=n;x=1",
        ),
        ({"content-usage": "train-ai=y, search=n"}, (), None),
        ({"content-usage": "train-ai"}, (), None),
    ],
)
def test_headers_that_opt_out(
    headers: dict[str, str], tags: tuple[str, ...], said: str | None
) -> None:
    assert opt_out_in_headers(headers, tags, "diagonal") == said


@pytest.mark.parametrize(
    ("entries", "url", "stated"),
    [
        ([{"location": "/", "tdm-reservation": 1}], "http://x.test/a.jpg", "1"),
        ([{"location": "/", "tdm-reservation": "1"}], "http://x.test/a.jpg", "1"),
        ([{"location": "/", "tdm-reservation": 0}], "http://x.test/a.jpg", "0"),
        ([{"location": "/b", "tdm-reservation": 1}], "http://x.test/a.jpg", None),
        ([{"location": "*.jpg$", "tdm-reservation": 1}], "http://x.test/a.jpg", "1"),
        (
            [{"location": "/", "tdm-reservation": 1}, {"location": "/free", "tdm-reservation": 0}],
            "http://x.test/free/a.jpg",
            "0",
        ),
        (
            [{"location": "/a", "tdm-reservation": 0}, {"location": "/a", "tdm-reservation": 1}],
            "http://x.test/a.jpg",
            "1",
        ),
        ([], "http://x.test/a.jpg", None),
        ([7, {"location": 3}, {"location": "/"}], "http://x.test/a.jpg", None),
        ({"location": "/", "tdm-reservation": 1}, "http://x.test/a.jpg", None),
    ],
)
def test_a_site_file_states_a_reservation(entries: object, url: str, stated: str | None) -> None:
    assert reservation_at(parse_tdmrep(json.dumps(entries).encode()), url) == stated


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_a_site_file_that_is_none_states_nothing(body: bytes) -> None:
    assert parse_tdmrep(body) == ()


def test_the_first_entries_of_a_long_site_file_count() -> None:
    entries = [{"location": f"/{n}/", "tdm-reservation": 1} for n in range(MOST_RULES + 1)]
    rules = parse_tdmrep(json.dumps([*entries, {"location": "/", "tdm-reservation": 0}]).encode())
    assert len(rules) == MOST_RULES
    assert reservation_at(rules, f"http://x.test/{MOST_RULES - 1}/") == "1"
    assert reservation_at(rules, f"http://x.test/{MOST_RULES}/") is None
