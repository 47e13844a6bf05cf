"""What filters keep of the tables: used while these are the same, never when they are not."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import (
    failed,
    kept_uids,
    pool_of,
    reasons_of,
    row,
    write_dataset,
    write_scores,
)

from diagonal_data.filters import cache
from diagonal_data.filters.cache import Cache
from diagonal_data.filters.config import Caps, CaptionLength
from diagonal_data.filters.query import _pool_of
from diagonal_infra import file_marks
from diagonal_infra.errors import UserError

COUNT = 6
HIGH = {"where": ("high: clip_similarity > 0.5",)}
COLUMN = "scores/clip/m/similarity"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are old enough to have marks, and a block has two shards."""
    monkeypatch.setattr(file_marks, "CLOCK_NS", -(10**12))
    monkeypatch.setattr(cache, "SHARDS_PER_BLOCK", 2)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """A sample and a failed row in each of six shards; the first half scores low."""
    shards = [[row(n), failed(100 + n)] for n in range(COUNT)]
    folder = write_dataset(tmp_path, shards)
    write_scores(folder, "clip/m", {"similarity": [0.1] * 3 + [0.9] * 3})
    return folder


def uids(*numbers: int) -> set[str]:
    return {row(n)["uid"] for n in numbers}


def files(dataset: str, column: str) -> list[Path]:
    return sorted(Path(dataset, "cache", column).glob("*.arrow"))


def set_all(path: Path, value: float) -> None:
    """Another value in every row of a file, as if the tables had had it: shows who reads it."""
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    column = pa.array([value] * table.num_rows, table.schema.types[0])
    changed = pa.table([column], schema=table.schema)
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(changed)


def test_a_later_filter_reads_the_files_that_the_first_one_left(dataset: str) -> None:
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(3, 4, 5)
    for path in files(dataset, COLUMN):
        set_all(path, 0.9)
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(*range(COUNT))


def test_a_table_that_was_written_again_makes_its_block_be_read_again(dataset: str) -> None:
    pool_of(dataset, **HIGH)
    for path in files(dataset, COLUMN):
        set_all(path, 0.9)
    table = Path(dataset, "scores", "clip", "m", "00000001.parquet")
    scores = pq.read_table(table)
    pq.write_table(scores, table)
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(2, 3, 4, 5)
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(2, 3, 4, 5)


def test_a_row_table_that_was_written_again_makes_its_block_be_read_again(dataset: str) -> None:
    config = {"where": ("width > 10",)}
    assert kept_uids(pool_of(dataset, **config)) == set()
    path = Path(dataset, "shards", "00000004.parquet")
    table = pq.read_table(path)
    width = table.column_names.index("width")
    wide = table.set_column(width, table.schema.field("width"), pa.array([20, 20], pa.int32()))
    pq.write_table(wide, path)
    assert kept_uids(pool_of(dataset, **config)) == uids(4)


@pytest.mark.parametrize("kind", ["uid", "url"])
def test_a_takedown_holds_at_once(dataset: str, kind: str) -> None:
    pool_of(dataset, **HIGH)
    pq.write_table(pa.table({kind: [row(4)[kind]]}), Path(dataset, "tombstones.parquet"))
    pool = pool_of(dataset, **HIGH)
    assert kept_uids(pool) == uids(3, 5)
    assert reasons_of(pool)[8] == "taken_down"


def test_a_shard_that_is_added_or_retried_is_read(dataset: str, tmp_path: Path) -> None:
    pool_of(dataset, **HIGH)
    shards = [[row(n), failed(100 + n)] for n in range(COUNT)]
    retried = row(100)
    write_dataset(tmp_path, [*shards, [row(6), retried]], passes=[0] * COUNT + [1])
    write_scores(dataset, "clip/m", {"similarity": [0.1] * 3 + [0.9] * 5})
    pool = pool_of(dataset, **HIGH)
    assert kept_uids(pool) == uids(3, 4, 5, 6, 100)
    assert len(pool.codes) == 2 * COUNT + 1


def test_scores_that_are_gone_are_missed(dataset: str) -> None:
    pool_of(dataset, **HIGH)
    Path(dataset, "scores", "clip", "m", "00000005.parquet").unlink()
    with pytest.raises(UserError, match="1 of 6 shards lack scores"):
        pool_of(dataset, **HIGH)


@pytest.mark.parametrize("content", [b"", b"ARROW1", None])
def test_a_file_that_is_not_whole_is_made_again(dataset: str, content: bytes | None) -> None:
    pool_of(dataset, **HIGH)
    for path in (*files(dataset, COLUMN), *files(dataset, "rows")):
        path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(3, 4, 5)
    assert all(pa.ipc.open_file(path.read_bytes()) for path in files(dataset, COLUMN))


def test_tables_without_a_mark_are_read_each_time_and_not_kept(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_marks, "CLOCK_NS", 10**15)
    for _ in range(2):
        assert kept_uids(pool_of(dataset, **HIGH)) == uids(3, 4, 5)
    assert not Path(dataset, "cache").exists()


def test_a_cache_that_cannot_be_written_is_no_error(
    dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(dataset, "cache").write_text("a file where a folder should be")
    assert kept_uids(pool_of(dataset, **HIGH)) == uids(3, 4, 5)
    assert "columns are not kept" in caplog.text


def test_rows_that_come_out_of_order_are_put_in_order(dataset: str) -> None:
    blocks = list(Cache(dataset, {}))
    found = pa.table(
        {"row": [4, 5, 0, 1, 2, 3], "verdict": pa.array([0, 2, 0, 1, 0, 1], pa.int16())}
    )
    pool = _pool_of(dataset, blocks, ["", "low", "low_unknown"], found)
    reasons = [reason for reason in reasons_of(pool) if reason != "timed_out"]
    assert reasons == ["", "low", "", "low", "", "low_unknown"]


def test_every_kind_of_column_is_the_same_from_the_files(tmp_path: Path) -> None:
    captions = ["a b c", "", "é à", "d e f g"]
    urls = ["http://User@Host.example:80/a", "http://b.example/?@", "no url", "http://[::1]/"]
    texts = zip(captions, urls, strict=True)
    rows = [row(n, caption=caption, url=url) for n, (caption, url) in enumerate(texts)]
    dataset = write_dataset(tmp_path, [rows[:1], rows[1:]])
    columns = {
        "lang": ["en", None, "de", "en"],
        "concepts": [[1, 2], [], None, [3]],
        "p": [1.0, float("nan"), None, 1.0],
    }
    write_scores(dataset, "text/m", columns)
    settings = {
        "where": ("text_lang = 'en' or length(caption) > 0 or host = 'host.example'",),
        "caption": CaptionLength(max_words=3, max_chars=5),
        "weight": "coalesce(text_p, 1) + coalesce(len(text_concepts), 0) + caption_chars",
        "cap": Caps(host=1),
    }
    first, second = pool_of(dataset, **settings), pool_of(dataset, **settings)
    assert reasons_of(first) == reasons_of(second)
    assert first.times().tolist() == second.times().tolist() == [8, 0, 4, 0]
    assert files(dataset, "shards/host")
    assert first.values.equals(second.values)
    assert pc.call_function("any", [second.values["text_p"].is_null()]).as_py()
