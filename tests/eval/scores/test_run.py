"""What all kinds have in common, by the kind that needs no model."""

import logging
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.eval.scores.drawn import (
    BROKEN,
    encoded,
    plain,
    read_table,
    shapes,
    uid_of,
    write_dataset,
)

from diagonal_data.filters.config import FiltersConfig
from diagonal_data.filters.select import select
from diagonal_eval.scores import image
from diagonal_eval.scores.config import ClipConfig, ImageConfig, ScoresConfig
from diagonal_eval.scores.run import score_set, write_scores
from diagonal_eval.scores.scorer import needed
from diagonal_infra.errors import UserError

SHARDS = [
    [(encoded(shapes(3 * shard + place), "JPEG"), f"drawing {shard} {place}") for place in range(3)]
    for shard in range(3)
]
CRASH = """
import os, sys
import pyarrow.parquet as pq
from diagonal_data import score_sets
from diagonal_eval.scores.config import ImageConfig
from diagonal_eval.scores.run import write_scores
whole, written = pq.write_table, []

def write_table(table, file):
    written.append(table)
    if len(written) == 2:
        file.write(b"PAR1 and no more")
        file.flush()
        os._exit(9)
    whole(table, file)

pq.write_table = write_table
write_scores(ImageConfig(dataset=sys.argv[1], local=True))
"""


@pytest.fixture
def config(tmp_path: Path) -> ImageConfig:
    return ImageConfig(dataset=write_dataset(tmp_path / "d", SHARDS), local=True)


def written(config: ScoresConfig) -> dict[str, int]:
    folder = Path(score_set(config).folder)
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


def test_a_done_shard_is_skipped_and_a_new_one_scored(config: ImageConfig) -> None:
    write_dataset(Path(config.dataset), SHARDS[:2])
    assert write_scores(config).shards == 2
    before = written(config)
    assert write_scores(config).shards == 0
    write_dataset(Path(config.dataset), SHARDS)
    assert write_scores(config).shards == 1
    after = written(config)
    assert {name: after[name] for name in before} == before
    assert len(after) == 3


def test_a_half_written_table_is_written_again(config: ImageConfig) -> None:
    write_scores(config)
    path = Path(score_set(config).path("00000001"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    before = written(config)
    assert write_scores(config).shards == 1
    assert path.read_bytes() == whole
    assert {name for name, when in written(config).items() if when != before[name]} == {path.name}


def test_a_tar_with_other_bytes_or_another_version_is_scored_again(
    config: ImageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scores(config)
    write_dataset(Path(config.dataset), [SHARDS[0], SHARDS[2], SHARDS[2]])
    assert write_scores(config).shards == 1
    scorer = image.build(config)
    newer = type(scorer)(**{**vars(scorer), "digest": "image 2"})
    monkeypatch.setattr(image, "build", lambda _: newer)
    assert write_scores(config).shards == 3


def test_another_name_is_another_set(config: ImageConfig) -> None:
    write_scores(config)
    other = ImageConfig(dataset=config.dataset, name="other", local=True)
    assert write_scores(other).shards == 3
    assert read_table(other).equals(read_table(config))


def test_a_crash_while_writing_leaves_whole_tables_and_a_rerun_finishes(
    config: ImageConfig, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, config.dataset], check=False)
    assert done.returncode == 9
    assert list(written(config)) == ["00000000.parquet"]
    before = written(config)
    write_scores(config)
    after = written(config)
    assert len(after) == 3
    assert after["00000000.parquet"] == before["00000000.parquet"]
    assert not list(Path(score_set(config).folder).glob("*partial*"))
    untouched = ImageConfig(dataset=write_dataset(tmp_path / "e", SHARDS), local=True)
    write_scores(untouched)
    for shard in range(3):
        assert read_table(config, shard).equals(read_table(untouched, shard))


def test_what_cannot_be_decoded_or_is_taken_down_has_no_values_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [(plain(), "whole"), (BROKEN, "broken"), (plain(), "gone"), (plain(), "whole too")]
    config = ImageConfig(dataset=write_dataset(tmp_path / "d", [samples]), local=True)
    gone = uid_of(0, 2, "gone")
    pq.write_table(pa.table({"uid": [gone]}), f"{config.dataset}/tombstones.parquet")
    with caplog.at_level(logging.INFO):
        counts = write_scores(config)
    assert (counts.samples, counts.undecoded, counts.taken_down) == (4, 1, 1)
    assert "pictures not decoded shard=00000000 count=1" in caplog.text
    assert uid_of(0, 1, "broken") in caplog.text
    rows = read_table(config).to_pylist()
    assert [row["uid"] for row in rows] == [uid_of(0, n, s[1]) for n, s in enumerate(samples)]
    for row in rows[1:3]:
        assert row["phash"] is None
        assert row["pixel_sha256"] is None
        assert math.isnan(row["entropy"])
    assert rows[3]["entropy"] == 0


def test_a_failed_shard_leaves_the_others_done(config: ImageConfig) -> None:
    Path(config.dataset, "shards", "00000001.tar").write_bytes(bytes(100_000))
    with pytest.raises(Exception, match="1 of 3 units failed 3 times: 00000001"):
        write_scores(config)
    assert sorted(written(config)) == ["00000000.parquet", "00000002.parquet"]


def test_a_dataset_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no shard|no dataset|manifest"):
        write_scores(ImageConfig(dataset=str(tmp_path / "nothing"), local=True))


def test_a_missing_package_is_named_with_the_extra() -> None:
    with pytest.raises(UserError, match=r"the colour of time needs no-such.*diagonal\[scores\]"):
        needed("no_such_module", "no-such", "the colour of time")


def test_filters_find_the_columns_or_say_what_makes_them(config: ImageConfig) -> None:
    def kept(where: str) -> int:
        settings: dict[str, Any] = {"dataset": config.dataset, "name": "x", "where": (where,)}
        return int(select(FiltersConfig(**settings)).pool.kept().size)

    with pytest.raises(UserError, match=r"no image scores.*scores image --dataset"):
        kept("image_sharpness > 1")
    with pytest.raises(UserError, match=r"no safety scores.*scores safety --dataset"):
        kept("safety_nsfw < 0.5")
    with pytest.raises(UserError, match=r"scores clip --dataset \S+ --model"):
        kept("clip_similarity > 0.2")
    write_scores(config)
    assert kept("image_sharpness > 1e9") == 0
    assert kept("image_sharpness > 1 and image_pixels_aspect < 2") == 9


@pytest.mark.ray
def test_ray_writes_the_same_bytes_as_one_process(config: ImageConfig, tiny_run: str) -> None:
    local = ClipConfig(dataset=config.dataset, model=tiny_run, name="local", local=True)
    on_ray = replace(local, name="ray", local=False)
    assert write_scores(local).samples == write_scores(on_ray).samples == 9
    for shard in range(3):
        name = f"{shard:08d}"
        ours, theirs = (Path(score_set(each).path(name)) for each in (local, on_ray))
        assert ours.read_bytes() == theirs.read_bytes()
        folder = Path(config.dataset, "embeddings")
        ours, theirs = (folder / each / f"{name}.npz" for each in ("local", "ray"))
        assert ours.read_bytes() == theirs.read_bytes()
