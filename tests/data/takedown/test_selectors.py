from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.takedown.config import TakedownConfig
from diagonal_data.takedown.selectors import read_selectors
from diagonal_infra.errors import UserError

UID, SHA256, PHASH = "ab" * 16, "cd" * 32, "f0f0f0f0f0f0f0f1"


def selected(**flags: object) -> list[dict]:
    rows = read_selectors(TakedownConfig(**flags)).to_pylist()  # pyright: ignore[reportArgumentType]  # flags are typed by the test's tables
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_flags_become_tombstones_in_one_spelling() -> None:
    assert selected(
        uid=(UID.upper(), UID), url=("HTTP://A.example:80/x#y",), host=("B.Example.",)
    ) == [
        {"uid": UID},
        {"url": "http://a.example/x"},
        {"host": "b.example"},
    ]
    assert selected(host=("b.example",), subdomains=True) == [{"domain": "b.example"}]
    near = {"phash": int(PHASH, 16), "phash_distance": 4}
    assert selected(phash=(PHASH,), phash_distance=4) == [near]


def test_lines_of_a_text_are_told_by_their_form(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"# letter 12\n{UID}\n\n{SHA256}\nhttp://a.example/x\nb.example\n{PHASH}\n")
    assert [next(iter(row)) for row in selected(list=str(path))] == [
        *("uid", "sha256", "url", "host", "phash"),
    ]
    path.write_text("http://a.example/x\n")
    assert selected(list=str(path), list_of="page") == [{"page_url": "http://a.example/x"}]


def test_tables_have_a_column_for_each_kind(tmp_path: Path) -> None:
    text = tmp_path / "list.csv"
    text.write_text(f"uid,page,note\n{UID},,x\n,http://p.example/1,y\n")
    expected = [{"uid": UID}, {"page_url": "http://p.example/1"}]
    assert selected(list=str(text)) == expected
    table = tmp_path / "list.parquet"
    columns = {"sha256": [SHA256, None], "phash": pa.array([None, int(PHASH, 16)], pa.uint64())}
    pq.write_table(pa.table(columns), table)
    assert [row.get("sha256") or row["phash"] for row in selected(list=str(table))] == [
        *(SHA256, int(PHASH, 16)),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "nothing to take down"),
        ({"uid": ("abc",)}, "--uid: 'abc' is no uid, which has 32 hex digits"),
        ({"url": ("a.example/x",)}, "--url: 'a.example/x' is no http"),
        ({"page": ("ftp://a.example/x",)}, "is no http"),
        ({"host": ("http://a.example",)}, "is no host name"),
        ({"sha256": (UID,)}, "is no sha256, which has 64 hex digits"),
        ({"phash": ("0000000000000001",)}, "would name unrelated ones"),
        ({"list": "missing.txt"}, "no list at 'missing.txt'"),
    ],
)
def test_what_is_malformed_is_named(flags: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        selected(**flags)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", b"a.example\nnot this\n", r"l.txt, line 2: 'not this' is no uid, URL, host"),
        ("l.csv", b"uid,url\n,http://a.example/\nxyz,\n", r"l.csv, line 3: 'xyz' is no uid"),
        ("l.csv", b"name\nx\n", "has none of the columns page, uid"),
        ("l.txt", b"\xff\xfe", "cannot be read as a list"),
        ("l.parquet", b"PAR1", "cannot be read as a list"),
        ("l.txt", b"# nothing\n", "nothing to take down"),
    ],
)
def test_a_malformed_list_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        selected(list=str(tmp_path / name))


def test_a_distance_at_which_anything_is_near_is_refused() -> None:
    with pytest.raises(ValueError, match="--phash-distance must be 0 to 16, got 40"):
        TakedownConfig(phash_distance=40)
