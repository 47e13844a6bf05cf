from pathlib import Path

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.exchange import read_facts, read_partition, write_partitioned


def test_each_row_comes_out_of_its_partition_once(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.parquet") for name in "ab"]
    for start, path in enumerate(paths):
        values = np.arange(start, 100, 2)
        write_partitioned(path, pa.table({"x": values, "y": -values}), values % 5, {"n": start})
    for number in range(7):
        tables = read_partition(paths, number, ["x"])
        found = sorted(value for table in tables for value in table["x"].to_pylist())
        assert found == ([] if number > 4 else list(range(number, 100, 5)))
    assert [read_facts(path) for path in paths] == [{"n": 0}, {"n": 1}]


def test_a_table_without_rows_keeps_its_facts(tmp_path: Path) -> None:
    path = str(tmp_path / "e.parquet")
    write_partitioned(path, pa.table({"x": pa.array([], pa.int64())}), np.array([], int), {"n": 3})
    assert read_partition([path], 0) == []
    assert read_facts(path) == {"n": 3}
