from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagonal_data.build_shard import build_shard
from diagonal_data.config import ReshardConfig, ShardsConfig
from diagonal_data.filters.keep_list import write_keep_list
from diagonal_data.manifest import open_manifest, settings_of
from diagonal_data.reshard import reshard
from diagonal_data.rows import read_rows, read_sample
from diagonal_data.run_ledger import RunLedger
from diagonal_data.schema import ROW_SCHEMA, candidate_for, candidates_table
from diagonal_data.units import Unit
from diagonal_infra.errors import UserError
from diagonal_infra.shared import Here


@pytest.fixture
def dataset(tmp_path: Path, small_web, make_jpeg) -> str:
    """Two shards of four samples, and a keep list of five entries, one uid twice."""
    folder = tmp_path / "d"
    config = ShardsConfig(
        candidates="", dataset=str(folder), image_size=32, allow_hosts=(small_web.host,)
    )
    urls = [small_web.add(f"/{i}.jpg", make_jpeg(i)) for i in range(8)]
    candidates = [candidate_for(url, f"picture {i}") for i, url in enumerate(urls)]
    for number in range(2):
        unit = Unit(shard=f"{number:08d}", path=str(tmp_path / f"{number}.parquet"))
        pq.write_table(candidates_table(candidates[4 * number : 4 * number + 4]), unit.path)
        build_shard(unit, Here(RunLedger(config.fetch)), config)
    open_manifest(config.dataset, settings_of(config), config)
    kept = [candidates[i].uid for i in (1, 2, 2, 5, 7)]
    write_keep_list(str(folder / "filters" / "few" / "keep.npy"), kept)
    return str(folder)


def config_for(dataset: str, output: Path, size: int = 2) -> ReshardConfig:
    return ReshardConfig(dataset=dataset, filter="few", output=str(output), samples_per_shard=size)


def contents(dataset: str) -> list[tuple[str, dict[str, bytes]]]:
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    return [
        (row["caption"], read_sample(dataset, row).members)
        for row in rows
        if row["status"] == "success"
    ]


def test_the_kept_samples_are_copied_byte_for_byte_and_repeats_twice(
    dataset: str, tmp_path: Path
) -> None:
    manifest = reshard(config_for(dataset, tmp_path / "out"))
    assert [info.samples for info in manifest.shards.values()] == [2, 2, 1]
    copied = contents(str(tmp_path / "out"))
    assert [caption for caption, _ in copied] == [f"picture {i}" for i in (1, 2, 2, 5, 7)]
    originals = dict(contents(dataset))
    assert all(members == originals[caption] for caption, members in copied)
    keys = read_rows(str(tmp_path / "out"), ["key"])["key"].to_pylist()
    assert len(set(keys)) == 5
    assert keys[2] == f"{keys[1]}_1"


def test_a_run_that_was_broken_off_is_finished_to_the_same_bytes(
    dataset: str, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    reshard(config_for(dataset, whole))
    reshard(config_for(dataset, broken))
    for name in ("00000001.tar", "00000001_stats.json"):
        (broken / "shards" / name).unlink()
    (broken / "shards" / "00000001.tar.partial-1").write_bytes(b"half")
    reshard(config_for(dataset, broken))
    tars = [
        {path.name: path.read_bytes() for path in folder.glob("shards/*.tar*")}
        for folder in (whole, broken)
    ]
    assert tars[0] == tars[1]


def test_another_keep_list_into_the_same_folder_is_refused(dataset: str, tmp_path: Path) -> None:
    reshard(config_for(dataset, tmp_path / "out"))
    with pytest.raises(UserError, match="made with other settings"):
        reshard(config_for(dataset, tmp_path / "out", size=3))
