"""The table for vector databases against what is stored."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.eval.search.conftest import change_arrays, stored

from diagonal_data.tombstones import TOMBSTONE_SCHEMA
from diagonal_eval.dataset import open_dataset, read_all_samples
from diagonal_eval.search.command import search
from diagonal_eval.search.config import ExportConfig, SearchConfig
from diagonal_eval.search.export import Counts, export
from diagonal_infra.errors import UserError

LANCE = """
import sys
import lance
import pyarrow.parquet as pq
from diagonal_eval.search.config import ExportConfig
from diagonal_eval.search.export import export

dataset, output, dtype, copy = sys.argv[1:]
config = ExportConfig(dataset=dataset, output=output, dtype=dtype, format="lance")
counts = export(config)
assert export(config).samples == counts.samples
table = lance.dataset(output).to_table()
assert table.num_rows == counts.samples
pq.write_table(table, copy)
"""
"""In a process of its own: where lance is imported it warns of every fork."""


@pytest.fixture
def wanted(config: SearchConfig, tmp_path: Path) -> ExportConfig:
    search(config)  # which makes the embeddings
    return ExportConfig(dataset=config.dataset, output=str(tmp_path / "vectors"), rows_per_group=7)


def parquet_rows(folder: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(Path(folder).iterdir())])


def check(table: pa.Table, dataset: str, dtype: str) -> None:
    samples = read_all_samples(open_dataset(dataset))
    assert table.column_names == ["uid", "url", "caption", "key", "shard", "image", "text"]
    for name in ("uid", "url", "caption", "shard"):
        assert table[name].to_pylist() == [getattr(sample, name) for sample in samples]
    assert all(table["key"].to_pylist())
    for name in ("image", "text"):
        kind = {"float32": pa.float32(), "float16": pa.float16()}[dtype]
        assert table.schema.field(name).type == pa.list_(kind, 8)
        uids, rows_ND = stored(dataset, name)
        expected = dict(zip(uids, rows_ND, strict=True))
        values = np.array(table[name].to_pylist(), np.float32)
        np.testing.assert_array_equal(values, [expected[sample.uid] for sample in samples])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parquet_holds_every_sample_with_both_vectors(wanted: ExportConfig, dtype: Any) -> None:
    export(replace(wanted, dtype=dtype))
    check(parquet_rows(wanted.output), wanted.dataset, dtype)
    file = pq.ParquetFile(Path(wanted.output, "00000000.parquet"))
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sizes[:-1] == [7] * (len(sizes) - 1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_lance_holds_the_same_and_written_again_is_no_longer(
    wanted: ExportConfig, tmp_path: Path, dtype: Any
) -> None:
    copy = tmp_path / "copy.parquet"
    command = [sys.executable, "-c", LANCE, wanted.dataset, wanted.output, dtype, str(copy)]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=os.environ | path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    check(pq.read_table(copy), wanted.dataset, dtype)


def test_without_lance_the_message_says_what_to_install(
    wanted: ExportConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(UserError, match=r"pip install \"diagonal\[lance\]\""):
        export(replace(wanted, format="lance"))


def test_what_is_taken_down_or_has_no_vector_is_left_out_and_counted(
    wanted: ExportConfig, tiny_world: Any
) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["image"][0] = 0
        arrays["text"][1] = np.nan

    change_arrays(wanted.dataset, "00000000", spoil)
    samples = read_all_samples(open_dataset(wanted.dataset))
    rows = pa.Table.from_pylist([{"uid": samples[5].uid}], schema=TOMBSTONE_SCHEMA)
    pq.write_table(rows, f"{wanted.dataset}/tombstones.parquet")
    counts = export(wanted)
    assert counts == Counts(samples=tiny_world.num_samples - 3, taken_down=1, without_vector=2)
    uids = parquet_rows(wanted.output)["uid"].to_pylist()
    assert not {samples[n].uid for n in (0, 1, 5)} & set(uids)


def test_again_only_what_changed_is_written(wanted: ExportConfig) -> None:
    export(wanted)
    first, second = sorted(Path(wanted.output).iterdir())
    before = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    export(wanted)
    assert (first.stat().st_mtime_ns, second.stat().st_mtime_ns) == before
    uid = pq.read_table(second)["uid"][0].as_py()
    rows = pa.Table.from_pylist([{"uid": uid}], schema=TOMBSTONE_SCHEMA)
    pq.write_table(rows, f"{wanted.dataset}/tombstones.parquet")
    export(wanted)
    assert first.stat().st_mtime_ns == before[0]
    assert uid not in pq.read_table(second)["uid"].to_pylist()


def test_a_half_written_file_is_written_again(wanted: ExportConfig) -> None:
    export(wanted)
    path = Path(wanted.output, "00000000.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    export(wanted)
    assert path.read_bytes() == whole


def test_files_of_shards_that_are_gone_go_and_others_are_not_touched(wanted: ExportConfig) -> None:
    export(wanted)
    old = Path(wanted.output, "00000009.parquet")
    old.write_bytes(Path(wanted.output, "00000000.parquet").read_bytes())
    export(wanted)
    assert not old.exists()
    foreign = Path(wanted.output, "mine.parquet")
    pq.write_table(pa.table({"a": [1]}), foreign)
    with pytest.raises(UserError, match=r"holds mine.parquet, which is no export"):
        export(wanted)
    assert foreign.exists()


def test_embeddings_that_do_not_fit_are_refused(wanted: ExportConfig) -> None:
    with pytest.raises(UserError, match="shard 00000000 has no embeddings 'gone'"):
        export(replace(wanted, name="gone"))
    change_arrays(
        wanted.dataset, "00000001", lambda arrays: arrays.update(text=arrays["text"][:, :5])
    )
    with pytest.raises(UserError, match=r"of shard 00000001 are of other samples or another model"):
        export(wanted)
