import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.build_shard import build_shard
from diagonal_data.config import Duplicates, FiltersConfig, ShardsConfig
from diagonal_data.filters.__main__ import write_filter
from diagonal_data.filters.keep_list import pack_uids, read_keep_list
from diagonal_data.manifest import open_manifest, settings_of
from diagonal_data.run_ledger import RunLedger
from diagonal_data.schema import Candidate, candidate_for, candidates_table
from diagonal_data.units import Unit
from diagonal_infra.errors import UserError
from diagonal_infra.shared import Here


@pytest.fixture
def candidates(small_web, make_jpeg) -> list[Candidate]:
    urls = [small_web.add(f"/{i}.jpg", make_jpeg(i)) for i in range(4)]
    return [candidate_for(url, f"<b>picture {i}</b>") for i, url in enumerate(urls)]


@pytest.fixture
def dataset(tmp_path: Path, candidates: list[Candidate], small_web) -> str:
    unit = Unit(shard="00000000", path=str(tmp_path / "unit.parquet"))
    pq.write_table(candidates_table(candidates), unit.path)
    config = ShardsConfig(
        candidates="", dataset=str(tmp_path), image_size=32, allow_hosts=(small_web.host,)
    )
    build_shard(unit, Here(RunLedger(config.fetch)), config)
    open_manifest(config.dataset, settings_of(config), config)
    return str(tmp_path)


def config_for(dataset: str) -> FiltersConfig:
    return FiltersConfig(dataset=dataset, name="a", duplicates=Duplicates(max_hamming=-1))


def test_the_folder_holds_keep_list_funnel_recipe_and_report(
    dataset: str, candidates: list[Candidate]
) -> None:
    funnel = write_filter(config_for(dataset))
    assert funnel.kept == 4
    assert set(read_keep_list(dataset, "a").tolist()) == set(
        pack_uids([c.uid for c in candidates]).tolist()
    )
    folder = Path(dataset) / "filters" / "a"
    assert json.loads((folder / "funnel.json").read_text()) == funnel.as_json()
    assert json.loads((folder / "recipe.json").read_text())["config"]["name"] == "a"
    report = (folder / "report.html").read_text()
    assert "&lt;b&gt;picture 1&lt;/b&gt;" in report
    assert "<b>picture" not in report
    assert report.count("data:image/jpeg") == 4


def test_what_was_taken_down_is_neither_kept_nor_shown(
    dataset: str, candidates: list[Candidate]
) -> None:
    tombstones = pa.table({"uid": [candidates[1].uid]})
    pq.write_table(tombstones, Path(dataset) / "tombstones.parquet")
    funnel = write_filter(config_for(dataset))
    assert (funnel.kept, funnel.reasons) == (3, {"taken_down": 1})
    report = (Path(dataset) / "filters" / "a" / "report.html").read_text()
    assert "picture 1" not in report
    assert report.count("data:image/jpeg") == 3


def test_a_filter_without_a_dataset_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        write_filter(config_for(str(tmp_path)))
