import json
from pathlib import Path

import pyarrow as pa
import pytest

from diagonal_data.candidates.entries import EntryMatcher, entry_matcher, read_entries
from diagonal_infra.errors import UserError


@pytest.mark.parametrize(
    ("name", "text"), [("m.json", '["red", "New York"]'), ("m.txt", "red\nNew York\n")]
)
def test_lists_are_json_or_lines(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    entries = read_entries(str(path), "--metadata")
    captions, languages = pa.array(["New York in red"]), pa.array([None], pa.string())
    assert EntryMatcher(entries).matches(captions, languages).to_pylist() == [[0, 1]]


def test_a_folder_has_entries_by_language(tmp_path: Path) -> None:
    for name, text in (("en", "red\ncat\n"), ("ja", "赤\n猫"), ("default", "rot\ncat")):
        (tmp_path / f"{name}.txt").write_text(text)
    entries = read_entries(str(tmp_path), "--metadata")
    assert list(entries.texts) == ["rot", "cat", "red", "cat", "赤", "猫"]
    captions = ["red cat", "red cat", "黒猫と赤", "rot cat 猫", "cat", "猫 x", "none"]
    languages = ["en", "ja", "ja", "de", None, "zh", "en"]
    lists = EntryMatcher(entries).matches(pa.array(captions), pa.array(languages))
    assert lists.to_pylist() == [[2, 3], [], [4, 5], [0, 1], [1], [], []]


def test_without_a_default_other_languages_match_nothing(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("red")
    matcher = EntryMatcher(read_entries(str(tmp_path), "--metadata"))
    lists = matcher.matches(pa.array(["red", "red", "red"]), pa.array(["de", None, "en"]))
    assert lists.to_pylist() == [[], [], [0]]


def test_entries_that_changed_meanwhile_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_text("red")
    digest = read_entries(str(path), "--metadata").digest
    assert entry_matcher(str(path), digest).entries.digest == digest
    with pytest.raises(UserError, match="has changed"):
        entry_matcher(str(path), "another")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "no UTF-8 text or JSON"),
        ("a.json", json.dumps({"red": 1}).encode(), "must be a JSON list"),
        ("a.json", b"[1]", "must be a JSON list"),
        ("a.txt", b"", "no entries"),
        ("a.txt", b"\xff\xfe", "no UTF-8"),
    ],
)
def test_what_is_no_list_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_entries(str(path), "--concepts")
    with pytest.raises(UserError, match=r"--concepts .*no such file"):
        read_entries(str(tmp_path / "nowhere.json"), "--concepts")
