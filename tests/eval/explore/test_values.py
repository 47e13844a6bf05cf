"""One numeric column of all samples."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.filters.datasets import failed, row, write_dataset, write_scores

from diagonal_data.filters.columns import Catalogue
from diagonal_eval.explore.row_index import build_index
from diagonal_eval.explore.snapshot import read_snapshot
from diagonal_eval.explore.values import Values, numeric_columns, read_values
from diagonal_infra.errors import UserError

SCORES = [0.3, float("nan"), 0.1, 0.3, float("inf"), 0.2]


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    rows = [[row(1), failed(2), row(3), row(4)], [row(5), row(6), row(7)]]
    folder = write_dataset(tmp_path, rows)
    write_scores(folder, "clip/m", {"similarity": np.array(SCORES, np.float32)})
    write_scores(folder, "dedup/exact", {"exact_cluster": [0, 1, 0, 0, 1, 5]})
    return folder


def values_of(dataset: str, name: str) -> Values:
    snapshot = read_snapshot(dataset)
    return read_values(Catalogue(dataset), snapshot, build_index(snapshot), name)


def table_of(dataset: str, shard: str = "00000000") -> Path:
    return Path(dataset) / "scores" / "clip" / "m" / f"{shard}.parquet"


def test_order_is_by_value_then_by_place_and_without_what_is_no_number(dataset: str) -> None:
    values = values_of(dataset, "clip_similarity")
    assert values.order.tolist() == [3, 6, 0, 4]
    assert (values.samples, values.missing) == (6, 2)
    assert values.by_place.dtype == np.float32


@pytest.mark.parametrize("threshold", [-1.0, 0.1, 0.2, 0.25, 0.3, 2.0])
def test_a_threshold_counts_and_names_its_neighbours_as_the_plain_way_does(
    dataset: str, threshold: float
) -> None:
    values = values_of(dataset, "clip_similarity")
    known = [(values.by_place[place], place) for place in values.order.tolist()]
    above = [place for value, place in known if value >= threshold]
    below = [place for value, place in known if value < threshold]
    found_below, found_above = values.around(threshold, 2)
    assert values.at_or_above(threshold) == len(above)
    assert found_above.tolist() == above[:2]
    assert found_below.tolist() == below[-2:][::-1]


def test_clusters_have_several_members_and_come_largest_first(dataset: str) -> None:
    values = values_of(dataset, "dedup_exact_cluster")
    numbers, firsts, sizes = values.clusters()
    assert (numbers.tolist(), sizes.tolist()) == ([0, 1], [3, 2])
    assert values.order[firsts[1] : firsts[1] + 2].tolist() == [2, 5]


def test_row_tables_have_numbers_too(dataset: str) -> None:
    assert values_of(dataset, "original_width").by_place[[0, 2]].tolist() == [300, 300]
    assert values_of(dataset, "caption_words").order.tolist() == [0, 2, 3, 4, 5, 6]
    snapshot = read_snapshot(dataset)
    names = list(numeric_columns(Catalogue(dataset), snapshot))
    assert names[:2] == ["clip_similarity", "dedup_exact_cluster"]
    assert "caption" not in names
    assert "phash" not in names


def test_a_column_without_values_has_no_histogram(dataset: str) -> None:
    values = values_of(dataset, "fetch_ms")
    assert (values.missing, values.edges().tolist()) == (6, [])
    assert [len(part) for part in values.clusters()] == [0, 0, 0]


@pytest.mark.parametrize(
    ("shard", "why"), [("00000000", "cannot be read"), ("00000001", "cannot be read")]
)
def test_a_half_written_table_is_named(dataset: str, shard: str, why: str) -> None:
    path = table_of(dataset, shard)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{shard}.*{why}"):
        values_of(dataset, "clip_similarity")


def test_missing_and_foreign_scores_are_named(dataset: str, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", [[row(11), row(12), row(13)]])
    write_scores(other, "clip/m", {"similarity": [0.1, 0.2, 0.3]})
    table_of(dataset).write_bytes(table_of(other).read_bytes())
    with pytest.raises(UserError, match="are of other samples"):
        values_of(dataset, "clip_similarity")
    table_of(dataset).unlink()
    with pytest.raises(UserError, match=r"1 of 2 shards lack scores clip/m"):
        values_of(dataset, "clip_similarity")
