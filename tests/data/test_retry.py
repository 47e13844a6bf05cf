"""shards --retry transient: what is asked again, what counts, and kills in between."""

import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagonal_data.config import ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.manifest import (
    Manifest,
    finished_shards,
    open_manifest,
    read_manifest,
    settings_of,
)
from diagonal_data.retries import open_retry_list
from diagonal_data.rows import read_rows
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.shards import build_dataset
from diagonal_data.units import check_candidates, write_units

COUNT = 12
BROKEN = (1, 2, 5, 6, 7, 10)
"""Pictures whose server fails at first; 4 is absent for good."""


@pytest.fixture
def web(small_web, make_jpeg):
    """Twelve pictures, of which half answer 500 and one is not there."""
    for i in range(COUNT):
        small_web.add(f"/{i}.jpg", make_jpeg(i))
    del small_web.pages["/4.jpg"]
    for i in BROKEN:
        small_web.pages[f"/{i}.jpg"].status = 500
    return small_web


def mend(web, *numbers: int) -> None:
    for i in numbers:
        web.pages[f"/{i}.jpg"].status = 200


def config_for(folder: Path, web, numbers: range = range(COUNT), **changes) -> ShardsConfig:
    (folder / "c").mkdir(parents=True, exist_ok=True)
    candidates = [candidate_for(web.url(f"/{i}.jpg"), f"picture {i}") for i in numbers]
    pq.write_table(candidates_table(candidates), folder / "c" / "part-00000.parquet")
    settings = {"samples_per_shard": 4, "image_size": 32, "local": True}
    return ShardsConfig(
        candidates=str(folder / "c"),
        dataset=str(folder / "d"),
        allow_hosts=(web.host,),
        fetch=FetchConfig(retries=0, host_failures=0),
        **(settings | changes),
    )


def pictures(web) -> list[str]:
    return sorted(path for path in web.asked if path.endswith(".jpg"))


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "d").glob("shards/*.tar")}


def test_only_rows_with_a_transient_reason_are_asked_again(tmp_path: Path, web) -> None:
    first = build_dataset(config_for(tmp_path, web))
    assert (first.input, first.kept, first.reasons["http_server_error"]) == (12, 5, 6)
    before, web.asked = tars(tmp_path), []
    mend(web, 1, 2, 5)
    funnel = build_dataset(config_for(tmp_path, web, retry="transient"))
    assert pictures(web) == sorted(f"/{i}.jpg" for i in BROKEN)
    assert (funnel.input, funnel.kept, funnel.reasons["http_server_error"]) == (12, 8, 3)
    assert sum(funnel.reasons.values()) == 4
    after = tars(tmp_path)
    assert {name: after[name] for name in before} == before
    assert sorted(after) == [f"{i:08d}.tar" for i in range(5)]


def test_the_latest_row_of_a_candidate_counts(tmp_path: Path, web) -> None:
    build_dataset(config_for(tmp_path, web))
    for mended in ((1, 2), (5,), ()):
        mend(web, *mended)
        funnel = build_dataset(config_for(tmp_path, web, retry="transient"))
        rows = read_rows(str(tmp_path / "d"), ["uid", "status", "reason"])
        assert rows.num_rows == len(set(rows["uid"].to_pylist())) == COUNT
        assert rows["status"].to_pylist().count("success") == funnel.kept
        reasons = [reason for reason in rows["reason"].to_pylist() if reason]
        assert {reason: reasons.count(reason) for reason in set(reasons)} == funnel.reasons
        assert read_rows(str(tmp_path / "d"), ["status"]).column_names == ["status", "shard"]
    assert funnel.kept == 8


def test_a_retry_shard_says_how_its_rows_ended_before(tmp_path: Path, web) -> None:
    build_dataset(config_for(tmp_path, web))
    mend(web, *BROKEN)
    build_dataset(config_for(tmp_path, web, retry="transient"))
    shards = finished_shards(str(tmp_path / "d"))
    assert [info.retry_pass for info in shards.values()] == [0, 0, 0, 1, 1]
    assert [info.retried for info in shards.values()][2:] == [
        {},
        {"http_server_error": 4},
        {"http_server_error": 2},
    ]
    listed = pq.read_table(tmp_path / "d" / "retries" / "0001.parquet")
    assert listed["caption"].to_pylist() == [f"picture {i}" for i in BROKEN]
    assert set(listed["previous_reason"].to_pylist()) == {"http_server_error"}
    assert read_manifest(str(tmp_path / "d"))["shards"][3]["retry_pass"] == 1


def test_nothing_to_retry_is_said_and_writes_nothing(tmp_path: Path, web, caplog) -> None:
    mend(web, *BROKEN)
    build_dataset(config_for(tmp_path, web))
    before, web.asked = tars(tmp_path), []
    with caplog.at_level(logging.INFO):
        build_dataset(config_for(tmp_path, web, retry="transient"))
    assert "nothing to retry" in caplog.text
    assert (web.asked, tars(tmp_path)) == ([], before)
    assert not (tmp_path / "d" / "retries").exists()


def planned(config: ShardsConfig) -> Manifest:
    """Plan a retry as the command does, and build none of it."""
    manifest = open_manifest(config.dataset, settings_of(config), config)
    write_units(manifest, check_candidates(config.candidates), 4, retry=True)
    return manifest


@pytest.mark.parametrize("lost", ["no unit", "the last unit", "all units"])
def test_a_retry_killed_while_it_is_planned_gives_the_same_tars(
    tmp_path: Path, web, lost: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        build_dataset(config_for(folder, web))
    planned(config_for(killed, web, retry="transient"))
    units = sorted((killed / "d" / "units").iterdir())
    assert len(units) == 2
    for path in {"no unit": [], "the last unit": units[1:], "all units": units}[lost]:
        path.unlink()
    mend(web, 1, 2, 6)
    for folder in (whole, killed):
        build_dataset(config_for(folder, web, retry="transient"))
    assert tars(killed) == tars(whole)
    assert len(tars(whole)) == 5


def test_a_retry_killed_between_shards_goes_on_and_asks_nothing_twice(tmp_path: Path, web) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        build_dataset(config_for(folder, web))
        build_dataset(config_for(folder, web, range(COUNT + 2), retry="transient"))
    # As a kill after the first retry shard leaves it: the second has its unit file only.
    for path in (killed / "d" / "shards").glob("00000005*"):
        path.unlink()
    config = config_for(killed, web, range(COUNT + 2), retry="transient")
    units = planned(config)
    assert sorted(path.name for path in (killed / "d/units").iterdir()) == ["00000005.parquet"]
    assert len(units.shards) == 5
    web.asked = []
    build_dataset(config)
    assert pictures(web) == ["/10.jpg", "/7.jpg"]
    assert tars(killed) == tars(whole)
    assert [path.name for path in (killed / "d/retries").iterdir()] == ["0001.parquet"]


def test_units_of_a_killed_retry_are_finished_without_the_flag(tmp_path: Path, web) -> None:
    build_dataset(config_for(tmp_path, web))
    planned(config_for(tmp_path, web, retry="transient"))
    mend(web, *BROKEN)
    funnel = build_dataset(config_for(tmp_path, web))
    assert (funnel.input, funnel.kept) == (12, 11)
    assert "http_server_error" not in funnel.reasons


def test_new_candidates_are_fetched_before_the_retry_and_fail_into_the_next_list(
    tmp_path: Path, web
) -> None:
    build_dataset(config_for(tmp_path, web, range(6)))
    web.asked = []
    funnel = build_dataset(config_for(tmp_path, web, retry="transient"))
    assert pictures(web) == sorted(f"/{i}.jpg" for i in (1, 2, 5, *range(6, COUNT)))
    assert funnel.input == COUNT
    listed = pq.read_table(tmp_path / "d" / "retries" / "0001.parquet")
    assert listed["caption"].to_pylist() == ["picture 1", "picture 2", "picture 5"]
    shards = finished_shards(str(tmp_path / "d"))
    assert [info.retry_pass for info in shards.values()] == [0, 0, 0, 0, 1]
    config = config_for(tmp_path, web)
    following = open_retry_list(open_manifest(config.dataset, settings_of(config), config))
    assert following is not None
    assert following.retry_pass == 2
    again = pq.read_table(following.path)["caption"].to_pylist()
    assert again == [f"picture {i}" for i in (6, 7, 10, 1, 2, 5)]


def test_stats_without_the_retry_keys_are_read(tmp_path: Path, web) -> None:
    config = config_for(tmp_path, web)
    funnel = build_dataset(config)
    for path in (tmp_path / "d" / "shards").glob("*_stats.json"):
        text = path.read_text()
        cut = text.index(',\n  "retry_pass"')
        path.write_text(text[:cut] + "\n}\n")
    manifest = open_manifest(config.dataset, settings_of(config), config)
    assert manifest.funnel() == funnel
    assert manifest.opt_outs() == {}


def test_opt_outs_are_kept_by_host(tmp_path: Path, web) -> None:
    mend(web, *BROKEN)
    for i in (0, 5, 6):
        web.pages[f"/{i}.jpg"].headers["X-Robots-Tag"] = "noai"
    config = config_for(tmp_path, web)
    assert build_dataset(config).reasons["opted_out"] == 3
    manifest = open_manifest(config.dataset, settings_of(config), config)
    assert [info.opt_outs for info in manifest.shards.values()] == [
        {"127.0.0.1": 1},
        {"127.0.0.1": 2},
        {},
    ]
    assert manifest.opt_outs() == {"127.0.0.1": 3}
