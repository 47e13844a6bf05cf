"""Which links a crawl follows, and what it takes for a page."""

import pytest

from diagonal_data.candidates.site import parse_content_type, visitable


def test_links_to_files_and_foreign_hosts_are_left_out() -> None:
    links = [
        "http://X.test/a#b",
        "http://x.test/a",
        "http://x.test/i.JPG",
        "http://y.test/",
        "http://z.test:81/a.pdf?",
        "mailto:a@x.test",
    ]
    assert visitable(links, ("x.test", "z.test:80")) == ["http://x.test/a"]


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ('Text/HTML ; x=y; Charset="UTF-8"', ("text/html", "UTF-8")),
        ("text/html;charset=l1;x", ("text/html", "l1")),
        ("text/html; charset=", ("text/html", None)),
        ("", ("", None)),
    ],
)
def test_content_types(header: str, parsed: tuple[str, str | None]) -> None:
    assert parse_content_type(header) == parsed
