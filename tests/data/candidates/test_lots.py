from pathlib import Path

import numpy as np
import pytest

from diagonal_data.candidates.lots import highest_lots, write_lots

DICE = np.random.default_rng(0)
GROUPS = np.floor(300 * DICE.random(20_000) ** 4).astype(np.uint64)
LOTS = DICE.permutation(20_000).astype(np.uint64)


@pytest.mark.parametrize(("parts", "buckets"), [(1, 1), (4, 3)])
def test_groups_with_too_many_rows_keep_their_lowest_lots(
    tmp_path: Path, parts: int, buckets: int
) -> None:
    most = np.full(300, 30)
    most[0] = 5
    paths = [str(tmp_path / f"{part}.parquet") for part in range(parts)]
    for part, path in enumerate(paths):
        write_lots(path, GROUPS[part::parts], LOTS[part::parts], most, buckets)
    found = {}
    for bucket in range(buckets):
        table = highest_lots(paths, bucket, most)
        found |= dict(zip(table["group"].to_pylist(), table["highest"].to_pylist(), strict=True))
    expected = {}
    for group in range(300):
        lots = np.sort(LOTS[group == GROUPS])
        if len(lots) > most[group]:
            expected[group] = lots[most[group] - 1]
    assert found == expected
    assert 10 < len(found) < 300


def test_a_partition_without_rows_is_no_trouble(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    write_lots(path, GROUPS[:0], LOTS[:0], 5, 2)
    assert len(highest_lots([path], 1, 5)) == 0
