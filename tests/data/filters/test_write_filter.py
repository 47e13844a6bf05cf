import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import failed, row, write_dataset, write_scores

from diagonal_data.build_shard import build_shard
from diagonal_data.config import ShardsConfig
from diagonal_data.filters.__main__ import write_filter
from diagonal_data.filters.config import (
    Caps,
    CombineConfig,
    ExportConfig,
    FiltersConfig,
    HoldOut,
    ImportConfig,
)
from diagonal_data.filters.inputs import stale_inputs
from diagonal_data.filters.keep_list import pack_uids, read_keep_list, write_keep_list
from diagonal_data.filters.lists import export_list
from diagonal_data.manifest import open_manifest, settings_of
from diagonal_data.run_ledger import RunLedger
from diagonal_data.schema import Candidate, candidate_for, candidates_table
from diagonal_data.units import Unit
from diagonal_infra.errors import UserError
from diagonal_infra.shared import Here

ROWS = [row(i) for i in range(8)]
UIDS = [each["uid"] for each in ROWS]


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


@pytest.fixture
def scored(tmp_path: Path) -> str:
    """Rows of eight samples and a failed one in two shards, with a similarity."""
    folder = write_dataset(tmp_path / "d", [[*ROWS[:5], failed(50)], ROWS[5:]])
    write_scores(folder, "clip/m", {"similarity": pa.array(np.arange(8) / 10, pa.float32())})
    return folder


def by_score(dataset: str, name: str, *where: str) -> FiltersConfig:
    return FiltersConfig(dataset=dataset, name=name, where=where, samples_in_report=0)


def kept(dataset: str, name: str) -> list[tuple[int, int]]:
    return read_keep_list(dataset, name).tolist()


def packed(*numbers: int) -> list[tuple[int, int]]:
    return np.sort(pack_uids([UIDS[i] for i in numbers]), order=["f0", "f1"]).tolist()


def test_the_folder_holds_keep_list_funnel_recipe_and_report(
    dataset: str, candidates: list[Candidate]
) -> None:
    funnel = write_filter(FiltersConfig(dataset=dataset, name="a"))
    assert funnel.kept == 4
    assert set(kept(dataset, "a")) == set(pack_uids([c.uid for c in candidates]).tolist())
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
    funnel = write_filter(FiltersConfig(dataset=dataset, name="a"))
    assert (funnel.kept, funnel.reasons) == (3, {"taken_down": 1})
    report = (Path(dataset) / "filters" / "a" / "report.html").read_text()
    assert "picture 1" not in report
    assert report.count("data:image/jpeg") == 3


def test_a_filter_without_a_dataset_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        write_filter(FiltersConfig(dataset=str(tmp_path), name="a"))


def test_every_row_has_its_reason_and_weight(scored: str) -> None:
    config = FiltersConfig(
        dataset=scored,
        name="a",
        where=("low: clip_similarity > 0.15",),
        weight="CASE WHEN clip_similarity > 0.55 THEN 2 ELSE 1 END",
        samples_in_report=0,
    )
    write_filter(config)
    table = pq.read_table(Path(scored) / "filters" / "a" / "reasons.parquet").to_pydict()
    assert table["uid"] == [*UIDS[:5], failed(50)["uid"], *UIDS[5:]]
    assert table["reason"] == ["low", "low", None, None, None, "timed_out", None, None, None]
    assert table["weight"] == [0, 0, 1, 1, 1, 0, 1, 2, 2]
    assert kept(scored, "a") == packed(2, 3, 4, 5, 6, 6, 7, 7)


def test_the_same_inputs_give_the_same_bytes(scored: str) -> None:
    config = FiltersConfig(
        dataset=scored,
        name="a",
        where=("quantile(clip_similarity) > 0.2",),
        cap=Caps(host=4),
        samples_in_report=0,
    )
    folder = Path(scored) / "filters" / "a"
    contents = []
    for _ in range(2):
        write_filter(config)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {
        *("keep.npy", "reasons.parquet", "funnel.json", "recipe.json", "report.html")
    }
    assert "<svg" in contents[0]["report.html"].decode()


def digest_of(dataset: str) -> str:
    return json.loads((Path(dataset) / "filters/a/recipe.json").read_text())["digest"]


def test_a_filter_whose_inputs_changed_is_stale_and_says_which(scored: str) -> None:
    write_filter(by_score(scored, "a", "clip_similarity > 0.25"))
    before = digest_of(scored)
    assert not stale_inputs(scored, "a")
    write_scores(scored, "clip/m", {"similarity": pa.array(np.ones(8), pa.float32())})
    assert stale_inputs(scored, "a") == ["scores/clip/m"]
    pq.write_table(pa.table({"uid": [UIDS[7]]}), Path(scored) / "tombstones.parquet")
    assert set(stale_inputs(scored, "a")) == {"scores/clip/m", "tombstones.parquet"}
    write_dataset(Path(scored), [[*ROWS[:5], failed(50)], [*ROWS[5:], row(9)]])
    assert stale_inputs(scored, "a")[0] == "shards"
    write_scores(scored, "clip/m", {"similarity": pa.array(np.ones(9), pa.float32())})
    write_filter(by_score(scored, "a", "clip_similarity > 0.25"))
    assert not stale_inputs(scored, "a")
    assert digest_of(scored) != before


def test_a_score_set_that_no_rule_uses_makes_nothing_stale(scored: str) -> None:
    write_filter(by_score(scored, "a", "original_width > 2"))
    write_scores(scored, "clip/m", {"similarity": pa.array(np.ones(8), pa.float32())})
    assert not stale_inputs(scored, "a")


def test_a_list_elsewhere_counts_as_an_input_where_it_can_be_seen(
    scored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"uid": [UIDS[7]]}), "list.parquet")
    config = by_score(scored, "a", "original_width > 2")
    write_filter(dataclasses.replace(config, hold_out=HoldOut(list="list.parquet")))
    assert not stale_inputs(scored, "a")
    monkeypatch.chdir(tmp_path / "other")
    assert not stale_inputs(scored, "a")
    pq.write_table(pa.table({"uid": [UIDS[6]]}), "list.parquet")
    assert stale_inputs(scored, "a") == ["list.parquet"]


def test_a_list_put_there_by_hand_is_never_stale(scored: str) -> None:
    write_keep_list(f"{scored}/filters/hand/keep.npy", UIDS[:2])
    assert not stale_inputs(scored, "hand")


def test_a_filter_that_keeps_nothing_is_an_empty_list_and_a_warning(
    scored: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        funnel = write_filter(by_score(scored, "a", "clip_similarity > 9"))
    assert (funnel.kept, funnel.input, len(kept(scored, "a"))) == (0, 9, 0)
    assert "keeps nothing" in caplog.text


def test_filters_are_combined(scored: str, caplog: pytest.LogCaptureFixture) -> None:
    write_filter(by_score(scored, "high", "clip_similarity > 0.35"))
    write_filter(by_score(scored, "low", "clip_similarity < 0.55"))
    for expression, numbers in (
        ("high & low", (4, 5)),
        ("high | low", range(8)),
        ("low - high", (0, 1, 2, 3)),
    ):
        config = CombineConfig(expression=expression, dataset=scored, name="c", samples_in_report=0)
        funnel = write_filter(config)
        assert kept(scored, "c") == packed(*numbers)
        assert funnel.reasons["timed_out"] == 1
    assert funnel.reasons == {"in high": 2, "not in low": 2, "timed_out": 1}
    assert "stale" not in caplog.text
    write_filter(by_score(scored, "low", "clip_similarity < 0.05"))
    assert stale_inputs(scored, "c") == ["filters/low/keep.npy"]
    stale = CombineConfig(expression="c | high", dataset=scored, name="e", samples_in_report=0)
    write_filter(stale)
    assert "filter=c" in caplog.text
    assert "changed=filters/low/keep.npy" in caplog.text
    with pytest.raises(UserError, match="no filter 'absent'"):
        write_filter(CombineConfig(expression="low & absent", dataset=scored, name="c"))


def test_a_foreign_list_is_sorted_and_what_is_unknown_counted(
    scored: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = pack_uids([UIDS[6], UIDS[0], "f" * 32, UIDS[6]])
    np.save(tmp_path / "list.npy", foreign)
    config = ImportConfig(
        list=str(tmp_path / "list.npy"), dataset=scored, name="i", samples_in_report=0
    )
    funnel = write_filter(config)
    assert kept(scored, "i") == packed(0, 6, 6)
    assert funnel.reasons == {"not_listed": 6, "timed_out": 1}
    assert "not sorted" in caplog.text
    assert "entries=1 of=4" in caplog.text


@pytest.mark.parametrize("content", [np.zeros(3), np.zeros((2, 2), "u8,u8"), b"no array"])
def test_a_foreign_file_that_is_no_list_is_refused(scored: str, tmp_path: Path, content) -> None:
    path = tmp_path / "list.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(UserError, match=r"list\.npy"):
        write_filter(ImportConfig(list=str(path), dataset=scored, name="i"))


def test_an_export_leaves_out_what_was_taken_down(scored: str, tmp_path: Path) -> None:
    write_filter(by_score(scored, "a", "clip_similarity > 0.45"))
    pq.write_table(pa.table({"uid": [UIDS[7]]}), Path(scored) / "tombstones.parquet")
    output = tmp_path / "out.npy"
    assert export_list(ExportConfig(output=str(output), dataset=scored, name="a")) == 2
    assert np.load(output).tolist() == packed(5, 6)
