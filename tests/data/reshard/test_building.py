import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from tests.data.stored import caption_of, image_of, uid_of, write_dataset

from diagonal_data.filters.keep_list import write_keep_list
from diagonal_data.manifest import read_manifest
from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.rows import read_rows, read_sample
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.takedown.config import TakedownConfig
from diagonal_data.takedown.requests import take_down
from diagonal_infra import storage
from diagonal_infra.errors import UnitError, UserError

KEPT = (1, 2, 2, 5, 9, 10, 17, 22)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Three shards of seven samples, and a keep list with one uid twice."""
    dataset = write_dataset(tmp_path / "d")
    write_keep_list(f"{dataset}/filters/few/keep.npy", [uid_of(i) for i in KEPT])
    return dataset


def config_for(dataset: str, output: Path | str, **changes) -> ReshardConfig:
    settings = {"filter": "few", "samples_per_shard": 3, "local": True} | changes
    return ReshardConfig(dataset=dataset, output=str(output), **settings)


def contents(dataset: str) -> list[tuple[str, dict[str, bytes]]]:
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    return [(row["caption"], read_sample(dataset, row).members) for row in rows]


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("shards/*.tar*")}


def test_the_kept_samples_are_copied_byte_for_byte_and_repeats_twice(
    dataset: str, tmp_path: Path
) -> None:
    manifest = reshard(config_for(dataset, tmp_path / "out"))
    assert [info.samples for info in manifest.shards.values()] == [3, 3, 2]
    copied = contents(str(tmp_path / "out"))
    assert [caption for caption, _ in copied] == [caption_of(i) for i in KEPT]
    for (caption, members), index in zip(copied, KEPT, strict=True):
        assert members["jpg"] == image_of(index)
        assert members["txt"].decode() == caption
    keys = read_rows(str(tmp_path / "out"), ["key"])["key"].to_pylist()
    assert len(set(keys)) == len(KEPT)
    assert keys[2] == f"{keys[1]}_1"
    assert list((tmp_path / "out" / "units").iterdir()) == []


def test_the_output_is_a_dataset_that_can_be_resharded_again(dataset: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    reshard(config_for(dataset, one, seed=1))
    reshard(config_for(str(one), two, filter=None, seed=1, samples_per_shard=100))
    assert dict(contents(str(two))) == dict(contents(str(one)))
    assert [shard["samples"] for shard in read_manifest(str(two))["shards"]] == [len(KEPT)]


def test_without_a_filter_all_that_is_stored_is_copied(dataset: str, tmp_path: Path) -> None:
    reshard(config_for(dataset, tmp_path / "out", filter=None, samples_per_shard=100))
    stored = [caption_of(i) for i in range(24) if i % 8 != 7]
    assert [caption for caption, _ in contents(str(tmp_path / "out"))] == stored


def test_a_seed_shuffles_over_all_shards_and_gives_the_same_order_again(
    dataset: str, tmp_path: Path
) -> None:
    orders = {}
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        reshard(config_for(dataset, tmp_path / name, seed=seed))
        orders[name] = [caption for caption, _ in contents(str(tmp_path / name))]
        assert sorted(orders[name]) == sorted(caption_of(i) for i in KEPT)
        for caption, members in contents(str(tmp_path / name)):
            assert members["jpg"] == image_of(int(caption.split()[-1]))
    assert tars(tmp_path / "a") == tars(tmp_path / "b")
    assert orders["a"] != orders["c"]
    assert orders["a"] != [caption_of(i) for i in KEPT]


@pytest.mark.ray
def test_ray_workers_write_the_same_bytes(dataset: str, tmp_path: Path) -> None:
    reshard(config_for(dataset, tmp_path / "here", seed=3))
    reshard(config_for(dataset, tmp_path / "ray", seed=3, local=False, workers=2))
    assert tars(tmp_path / "ray") == tars(tmp_path / "here")


def test_object_stores_are_read_and_written(dataset: str, tmp_path: Path) -> None:
    reshard(config_for(dataset, tmp_path / "local", seed=3))
    try:
        files = fsspec.filesystem("memory")
        files.put(dataset, "/reshard-in", recursive=True)
        reshard(config_for("memory://reshard-in", "memory://reshard-out", seed=3))
        for name, content in tars(tmp_path / "local").items():
            assert storage.read_bytes(f"memory://reshard-out/shards/{name}") == content
    finally:
        fsspec.filesystem("memory").store.clear()


def test_what_was_taken_down_is_not_copied(dataset: str, tmp_path: Path) -> None:
    take_down(TakedownConfig(dataset=dataset, uid=(uid_of(2), uid_of(17))))
    reshard(config_for(dataset, tmp_path / "out"))
    captions = [caption for caption, _ in contents(str(tmp_path / "out"))]
    assert captions == [caption_of(i) for i in (1, 5, 9, 10, 22)]


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
    assert tars(whole) == tars(broken)


KILLED = """
import os, signal, sys
from diagonal_infra import storage
from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
left = int(sys.argv[3])
def counted(inner):
    def step(path, *rest):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(path, *rest)
    return step
storage.write_whole, storage.delete = counted(storage.write_whole), counted(storage.delete)
settings = {"filter": "few", "samples_per_shard": 2, "local": True, "seed": 5}
reshard(ReshardConfig(dataset=sys.argv[1], output=sys.argv[2], **settings))
"""
"""Is killed before the n-th file is written or removed."""


def test_killed_again_and_again_it_ends_with_the_same_bytes(dataset: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reshard(config_for(dataset, whole, seed=5, samples_per_shard=2))
    codes, step = [], 3
    while not codes or codes[-1] != 0:
        command = [sys.executable, "-c", KILLED, dataset, str(killed), str(step)]
        codes.append(subprocess.run(command, check=False).returncode)
        assert all(content == tars(whole)[name] for name, content in finished(killed).items())
        step += 2
    assert len(codes) > 4
    assert set(codes) == {0, -signal.SIGKILL}
    assert tars(killed) == tars(whole)
    assert not list(killed.glob("units/*"))


def finished(folder: Path) -> dict[str, bytes]:
    return {n: content for n, content in tars(folder).items() if n.endswith(".tar")}


@pytest.mark.parametrize("change", [{"samples_per_shard": 4}, {"seed": 1}, {"filter": None}])
def test_other_settings_into_the_same_folder_are_refused(
    dataset: str, tmp_path: Path, change: dict
) -> None:
    reshard(config_for(dataset, tmp_path / "out"))
    with pytest.raises(UserError, match="made with other settings"):
        reshard(config_for(dataset, tmp_path / "out", **change))


def test_a_damaged_region_names_its_shard_and_the_others_are_done(
    dataset: str, tmp_path: Path
) -> None:
    path = Path(dataset, "shards", "00000001.tar")
    offset = read_rows(dataset, ["uid", "tar_offset"]).to_pylist()[9]["tar_offset"]
    content = path.read_bytes()
    damaged = content[:offset] + bytes(600) + content[offset + 600 :]
    path.write_bytes(damaged)
    config = config_for(dataset, tmp_path / "out")
    with pytest.raises(UnitError, match=rf"00000001.tar \(1, at bytes {offset}…\)"):
        reshard(config)
    assert len(read_manifest(config.output)["shards"]) == 2
    path.write_bytes(content)
    reshard(config)
    reshard(config_for(dataset, tmp_path / "whole"))
    assert tars(tmp_path / "out") == tars(tmp_path / "whole")
    path.write_bytes(damaged)
    reshard(config_for(dataset, tmp_path / "without", skip_damaged=True))
    captions = [caption for caption, _ in contents(str(tmp_path / "without"))]
    assert captions == [caption_of(i) for i in KEPT if i != 9]


def test_a_tar_that_was_cut_off_is_damage(dataset: str, tmp_path: Path) -> None:
    path = Path(dataset, "shards", "00000002.tar")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UnitError, match=r"00000002.tar \(2, at bytes"):
        reshard(config_for(dataset, tmp_path / "out"))


def test_a_keep_list_of_another_dataset_is_the_users_mistake(
    dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_keep_list(f"{dataset}/filters/other/keep.npy", ["0" * 32])
    with pytest.raises(UserError, match="nothing to copy: filter 'other' keeps no sample"):
        reshard(config_for(dataset, tmp_path / "out", filter="other"))
    write_keep_list(f"{dataset}/filters/mixed/keep.npy", ["0" * 32, uid_of(1)])
    reshard(config_for(dataset, tmp_path / "out", filter="mixed"))
    assert "listed=2 copied=1" in caplog.text


@pytest.mark.parametrize("words", [["keep-list"], []])
def test_the_command_needs_no_recipe(dataset: str, tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "diagonal_data.reshard", *words, "--dataset", dataset]
    command += ["--filter", "few", "--output", str(tmp_path / "out"), "--seed", "7", "--local"]
    command += ["--samples-per-shard", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 samples in 1 shards" in done.stdout
