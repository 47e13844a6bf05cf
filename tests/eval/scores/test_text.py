"""Columns of captions."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.eval.scores.drawn import plain, read_table, uid_of, write_dataset

from diagonal_data.filters.config import FiltersConfig
from diagonal_data.filters.select import select
from diagonal_eval.scores.config import TextConfig
from diagonal_eval.scores.run import write_scores

CAPTIONS = [
    "a red bicycle leaning against the wall of an old house",
    "ein rotes Fahrrad lehnt an der Wand eines alten Hauses",
    "un vélo rouge appuyé contre le mur d'une vieille maison",
    "  \n ",
    "gone again",
]


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    root = write_dataset(tmp_path / "d", [[(plain(), caption) for caption in CAPTIONS]])
    gone = uid_of(0, 4, CAPTIONS[4])
    pq.write_table(pa.table({"uid": [gone]}), f"{root}/tombstones.parquet")
    return root


def test_captions_have_language_and_length(dataset: str) -> None:
    config = TextConfig(dataset=dataset, local=True)
    write_scores(config)
    rows = read_table(config).to_pylist()
    assert [row["lang"] for row in rows] == ["en", "de", "fr", None, None]
    assert all(0.5 < row["lang_p"] <= 1.001 for row in rows[:3])
    assert math.isnan(rows[3]["lang_p"])
    assert [row["chars"] for row in rows] == [*map(len, CAPTIONS[:4]), None]
    assert [row["words"] for row in rows] == [11, 10, 10, 0, None]
    assert "concepts" not in rows[0]


def test_concepts_are_places_in_the_list_and_another_list_scores_again(
    dataset: str, tmp_path: Path
) -> None:
    entries = tmp_path / "entries.txt"
    entries.write_text("house\nvélo rouge\nbicycle\n")
    config = TextConfig(dataset=dataset, concepts=str(entries), local=True)
    assert write_scores(config).shards == 1
    assert write_scores(config).shards == 0
    found = read_table(config)["concepts"].to_pylist()
    assert found == [[0, 2], [], [1], [], None]
    entries.write_text("bicycle\n")
    assert write_scores(config).shards == 1
    assert read_table(config)["concepts"].to_pylist()[0] == [0]


def test_no_picture_is_read(dataset: str) -> None:
    Path(dataset, "shards", "00000000.tar").unlink()
    assert write_scores(TextConfig(dataset=dataset, local=True)).undecoded == 0


def test_a_filter_takes_the_language_and_the_concepts(dataset: str, tmp_path: Path) -> None:
    entries = tmp_path / "entries.json"
    entries.write_text('["house", "wall"]')
    write_scores(TextConfig(dataset=dataset, concepts=str(entries), local=True))
    english = FiltersConfig(dataset=dataset, name="x", where=("text_lang = 'en'",))
    assert select(english).pool.kept().tolist() == [0]
    listed = FiltersConfig(dataset=dataset, name="x", where=("len(text_concepts) = 2",))
    assert select(listed).pool.kept().tolist() == [0]
