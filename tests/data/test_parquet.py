import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from diagonal_data.parquet import read_parquet
from diagonal_infra import storage

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", None]})


@pytest.mark.parametrize("where", ["local", "memory"])
def test_columns_come_in_the_order_asked_for(tmp_path: Path, where: str) -> None:
    path = str(tmp_path / "t.parquet") if where == "local" else "memory://parquet/t.parquet"
    with storage.write_whole(path) as file:
        pq.write_table(TABLE, file)
    assert read_parquet(path).equals(TABLE)
    assert read_parquet(path, ["b", "a"]).equals(TABLE.select(["b", "a"]))
    MemoryFileSystem.store.clear()


def test_a_program_may_end_right_after_reading(tmp_path: Path) -> None:
    path = str(tmp_path / "t.parquet")
    pq.write_table(TABLE, path)
    program = f"from diagonal_data.parquet import read_parquet; read_parquet({path!r})"
    ends = [subprocess.run([sys.executable, "-c", program], check=False) for _ in range(6)]
    assert [end.returncode for end in ends] == [0] * 6
