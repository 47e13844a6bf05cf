import pytest

from diagonal_data.schema import (
    CANDIDATE_SCHEMA,
    candidate_for,
    candidates_from,
    candidates_table,
    canonical_url,
    uid_for,
)


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("HTTP://Example.COM/a", "http://example.com/a"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443", "https://example.com/"),
        ("http://example.com:8080/a?b=C#d", "http://example.com:8080/a?b=C"),
        ("  http://[2001:DB8::1]/x ", "http://[2001:db8::1]/x"),
        ("not a url", "not a url"),
        ("http://example.com:port/", "http://example.com:port/"),
    ],
)
def test_canonical_url(spelled: str, canonical: str) -> None:
    assert canonical_url(spelled) == canonical


def test_the_uid_is_32_hex_digits_and_the_same_for_every_spelling_of_a_url() -> None:
    uid = uid_for("http://Example.com:80/a.jpg#x", "a cat")
    assert uid == uid_for("http://example.com/a.jpg", "a cat")
    assert len(uid) == 32
    assert int(uid, 16) >= 0


def test_the_uid_changes_with_caption_and_url() -> None:
    uids = {
        uid_for("http://a/x", "cat"),
        uid_for("http://a/x", "dog"),
        uid_for("http://a/y", "cat"),
    }
    assert len(uids) == 3


def test_the_uid_is_fixed_forever() -> None:
    # Published datasets are joined by this value; a change of the function breaks them all.
    assert uid_for("http://example.com/a.jpg", "a cat") == "d76339c6b2e782770f474c541a8cb744"


def test_candidates_survive_the_table() -> None:
    candidates = [candidate_for("http://a/x", "cat", page_url="http://a/", width_hint=3)]
    table = candidates_table(candidates)
    assert table.schema == CANDIDATE_SCHEMA
    assert candidates_from(table) == candidates
