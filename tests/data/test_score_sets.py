from pathlib import Path

import pyarrow as pa
import pytest

from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.score_sets import (
    TAR_KEY,
    UIDS_KEY,
    ScoreSet,
    find_column,
    score_sets,
    uids_digest,
)
from diagonal_infra.errors import UserError

TABLE = pa.table({"uid": ["a" * 32], "similarity": pa.array([0.25], pa.float32())})


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Two finished shards, of which the second has no scores."""
    manifest = Manifest(dataset=str(tmp_path), settings={})
    for name in ("0", "1"):
        manifest.add(ShardInfo(name=name, candidates=1, samples=1, bytes=0, sha256=""))
    manifest.write()
    for kind, name in (("clip", "a"), ("clip", "b"), ("text", "plain")):
        ScoreSet(dataset=str(tmp_path), kind=kind, name=name).write("0", TABLE, f"{kind} {name}")
    return str(tmp_path)


def test_a_table_is_current_for_the_source_it_was_written_with(dataset: str) -> None:
    found = ScoreSet(dataset=dataset, kind="clip", name="a")
    assert found.is_current("0", "clip a")
    assert not found.is_current("0", "another model")
    assert not found.is_current("1", "clip a")


def test_sets_are_found_by_their_folders(dataset: str) -> None:
    assert [each.label for each in score_sets(dataset)] == ["clip/a", "clip/b", "text/plain"]
    assert score_sets(f"{dataset}/nothing") == []


def test_a_column_is_named_by_its_set_or_by_a_kind_with_one_set(dataset: str) -> None:
    for column, label in (("clip/b.similarity", "clip/b"), ("text.similarity", "text/plain")):
        found, name = find_column(dataset, column)
        assert (found.label, name) == (label, "similarity")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("clip.similarity", "names several score sets .* it has clip/a, clip/b$"),
        ("clip/c.similarity", "names no score set .* it has clip/a, clip/b, text/plain"),
        ("similarity", "names no score set"),
        ("clip/a.sharpness", "score set clip/a has no column 'sharpness'; it has similarity"),
    ],
)
def test_a_column_that_is_not_there_is_the_users_mistake(
    dataset: str, column: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_column(dataset, column)


def test_a_table_records_whose_uids_and_which_tar_it_is_of(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "1_stats.json").write_text('{"sha256": "of the tar"}')
    scores = ScoreSet(dataset=dataset, kind="clip", name="a")
    scores.write("1", TABLE, "model")
    with_tar, without = scores.schema("1"), scores.schema("0")
    assert with_tar is not None
    assert without is not None
    assert with_tar.metadata[TAR_KEY] == b"of the tar"
    assert with_tar.metadata[UIDS_KEY] == uids_digest(TABLE["uid"])
    assert TAR_KEY not in without.metadata


def test_a_digest_of_uids_depends_on_their_order_and_not_on_chunks() -> None:
    uids = [f"{number:032x}" for number in range(5)]
    whole = uids_digest(pa.chunked_array([uids]))
    assert uids_digest(pa.chunked_array([uids[:2], [], uids[2:]], pa.string())) == whole
    assert uids_digest(pa.chunked_array([["x" * 32, *uids]]).slice(1)) == whole
    assert uids_digest(pa.chunked_array([uids[::-1]])) != whole
