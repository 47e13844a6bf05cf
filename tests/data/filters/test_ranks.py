"""Quantiles and top shares against their definitions, ties and NaN included."""

from pathlib import Path

import numpy as np
import pyarrow as pa
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

from diagonal_infra.errors import UserError

COUNT = 60


def scores(seed: int) -> np.ndarray:
    """Many ties, some NaN."""
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, 20, COUNT) / 20).astype(np.float32)
    values[rng.random(COUNT) < 0.1] = np.nan
    return values


def dataset_of(folder: Path, values: np.ndarray) -> str:
    rows = [row(i) for i in range(COUNT)]
    dataset = write_dataset(folder, [[*rows[:25], failed(99)], rows[25:]])
    write_scores(dataset, "clip/m", {"similarity": pa.array(values)})
    return dataset


def quantile_by_definition(values: np.ndarray) -> list[float]:
    known = values[~np.isnan(values)]
    return [(known < v).sum() / (len(known) - 1) if v == v else np.nan for v in values]


@pytest.mark.parametrize("sign", [">", ">=", "<", "<="])
@pytest.mark.parametrize("limit", [0, 0.1, 1 / 3, 0.5, 0.7, 1, 2, -1])
def test_a_quantile_is_the_share_of_lesser_scores(tmp_path: Path, sign: str, limit: float) -> None:
    values = scores(1)
    dataset = dataset_of(tmp_path, values)
    signs = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
    quantiles = quantile_by_definition(values)
    expected = {row(i)["uid"] for i in range(COUNT) if signs[sign](quantiles[i], limit)}
    # The second spelling is computed for each sample, the first by one threshold.
    for text in (
        f"quantile(clip_similarity) {sign} {limit}",
        f"(quantile(clip_similarity) + 0) {sign} {limit}::DOUBLE",
    ):
        assert kept_uids(pool_of(dataset, where=(text,))) == expected, text


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 1.0])
def test_the_top_share_is_as_datacomp_counts_it(tmp_path: Path, share: float) -> None:
    values = scores(2)
    known = values[~np.isnan(values)]
    falling = -np.sort(-known)
    threshold = falling[min(int(len(known) * share), len(known) - 1)]
    expected = {row(i)["uid"] for i in range(COUNT) if values[i] >= threshold}
    pool = pool_of(dataset_of(tmp_path, values), where=(f"top(clip_similarity, {share})",))
    assert kept_uids(pool) == expected


def test_nan_is_never_kept_and_has_a_reason_of_its_own(tmp_path: Path) -> None:
    values = np.full(COUNT, np.nan, np.float32)
    values[0] = 0.5
    dataset = dataset_of(tmp_path, values)
    for rule in (
        "clip_similarity > 0.1",
        "quantile(clip_similarity) >= 0",
        "NOT clip_similarity < 0",
    ):
        found = reasons_of(pool_of(dataset, where=(f"low: {rule}",)))
        assert found[:2] == ["", "low_unknown"], rule
        assert found.count("low_unknown") == COUNT - 1


def test_what_was_taken_down_does_not_count(tmp_path: Path) -> None:
    values = np.arange(COUNT, dtype=np.float32)
    dataset = dataset_of(tmp_path, values)
    gone = [row(i)["uid"] for i in range(30, COUNT)]
    pq.write_table(pa.table({"uid": gone}), tmp_path / "tombstones.parquet")
    pool = pool_of(dataset, where=("quantile(clip_similarity) > 0.5",))
    assert kept_uids(pool) == {row(i)["uid"] for i in range(15, 30)}


def test_columns_of_the_row_table_have_quantiles_too(tmp_path: Path) -> None:
    rows = [row(i, original_width=100 + i) for i in range(11)]
    pool = pool_of(write_dataset(tmp_path, [rows]), where=("quantile(original_width) >= 0.8",))
    assert kept_uids(pool) == {row(i)["uid"] for i in (8, 9, 10)}
    with pytest.raises(UserError, match="only numbers have a quantile"):
        pool_of(write_dataset(tmp_path, [rows]), where=("quantile(caption) >= 0.8",))
