import dataclasses
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from diagonal_data.rows import read_rows, read_sample
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import Sample, TarWriter
from diagonal_infra.errors import UserError
from diagonal_train.config.export import ExportConfig
from diagonal_train.config.reinforce import ReinforceConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.load import load_model
from diagonal_train.export import main as export
from diagonal_train.reinforce import reinforce
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.teacher import teacher_rows
from diagonal_train.streaming.transforms import center_crop

Make = Callable[..., ReinforceConfig]


@pytest.fixture
def make(own_dataset: Path, finished_run: TrainConfig, tmp_path: Path) -> Make:
    """Makes the command's configuration; arguments replace fields."""
    fields: dict[str, Any] = {"dataset": str(own_dataset), "teacher": finished_run.run}
    fields |= {"output": str(tmp_path / "out"), "batch_size": 16}
    return lambda **changes: ReinforceConfig(**fields | changes)


def samples_of(dataset: str) -> list[tuple[dict[str, Any], dict[str, bytes]]]:
    rows = [row for row in read_rows(dataset, ROW_SCHEMA.names).to_pylist() if row["tar_bytes"]]
    return [(row, read_sample(dataset, row).members) for row in rows]


def files_of(folder: str, *suffixes: str) -> dict[str, bytes]:
    paths = sorted((Path(folder) / "shards").iterdir())
    return {path.name: path.read_bytes() for path in paths if path.name.endswith(suffixes)}


def test_samples_keep_their_bytes_and_have_the_teachers_embeddings(
    make: Make, finished_run: TrainConfig
) -> None:
    config = make()
    reinforce(config)
    teacher = load_model(finished_run.run)
    before, after = samples_of(config.dataset), samples_of(config.output)
    assert len(before) == len(after) == 120
    for (old, members), (row, more) in zip(before[::17], after[::17], strict=True):
        assert (old["uid"], old["key"], old["caption"]) == (row["uid"], row["key"], row["caption"])
        assert list(more) == [*members, "teacher.npy"]
        assert all(more[name] == content for name, content in members.items())
        pixels = torch.from_numpy(center_crop(more["jpg"], 32).copy()).permute(2, 0, 1)[None]
        with torch.inference_mode():
            image = teacher.model.encode_image(
                normalised(pixels, mean=teacher.mean, std=teacher.std)
            )
            text = teacher.model.encode_text(teacher.tokenizer([row["caption"]]))
        rows = teacher_rows(more, "teacher", 1)
        np.testing.assert_allclose(rows, torch.cat([image, text]).numpy(), atol=1e-3)


def test_manifest_and_stats_hold(make: Make, finished_run: TrainConfig) -> None:
    config = make()
    reinforce(config)
    manifest = json.loads((Path(config.output) / "manifest.json").read_text())
    assert [shard["samples"] for shard in manifest["shards"]] == [45, 38, 37]
    for shard in manifest["shards"]:
        base = Path(config.output) / "shards" / shard["name"]
        content = base.with_suffix(".tar").read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            shard["bytes"],
            shard["sha256"],
        )
        assert pq.read_metadata(base.with_suffix(".parquet")).num_rows == shard["samples"]
    record = manifest["settings"]["teachers"]["teacher"]
    assert record["model"] == finished_run.run
    assert record["captions"] == ["txt"]
    scale = load_model(finished_run.run).model.logit_scale.exp().item()
    assert record["logit_scale"] == pytest.approx(scale)


def test_a_killed_run_is_finished_to_the_same_bytes(make: Make, tmp_path: Path) -> None:
    whole, broken = make(batch_size=4), make(output=str(tmp_path / "broken"), batch_size=4)
    reinforce(whole)
    words = ["--dataset", broken.dataset, "--teacher", broken.teacher, "--output", broken.output]
    command = [sys.executable, "-m", "diagonal_train.reinforce", *words, "--batch-size", "4"]
    shards = Path(broken.output) / "shards"
    for wanted in ("00000000.tar", "00000001.parquet"):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while process.poll() is None and not list(shards.glob(f"{wanted}*")):
            time.sleep(0.001)
        process.kill()
        process.communicate(timeout=60)
    reinforce(broken)
    suffixes = (".tar", ".parquet", "_stats.json")
    assert files_of(whole.output, *suffixes) == files_of(broken.output, *suffixes)
    assert not list(shards.glob("*.partial-*"))
    before = (Path(broken.output) / "manifest.json").read_bytes()
    reinforce(broken)
    assert (Path(broken.output) / "manifest.json").read_bytes() == before


def test_taken_down_samples_are_left_out(make: Make, uids: list[str]) -> None:
    config = make()
    table = {"uid": uids[:3]}
    pq.write_table(pa.table(table), Path(config.dataset) / "tombstones.parquet")
    assert reinforce(config).shards["00000000"].samples == 42


def test_a_sample_that_cannot_be_decoded_is_copied_as_it_is(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    config = make()
    damage(Path(config.dataset), row=5)
    reinforce(config)
    members = [members for _, members in samples_of(config.output)]
    assert [i for i, found in enumerate(members) if "teacher.npy" not in found] == [5]
    assert "copied without embeddings samples=1" in caplog.text


def damage(dataset: Path, row: int) -> None:
    """Shard 0 anew, with one image that is none."""
    base = dataset / "shards" / "00000000"
    rows = pq.read_table(base.with_suffix(".parquet")).to_pylist()
    samples = [(r, read_sample(str(dataset), r | {"shard": "00000000"})) for r in rows[1:]]
    with base.with_suffix(".tar").open("wb") as file:
        writer = TarWriter(file)
        for number, (place, sample) in enumerate(samples):
            members = sample.members | ({"jpg": b"no picture"} if number == row else {})
            extent = writer.add(Sample(key=sample.key, members=members))
            place |= {"tar_offset": extent.offset, "tar_bytes": extent.length}
        writer.close()
    table = pa.Table.from_pylist(rows, ROW_SCHEMA)
    pq.write_table(table, base.with_suffix(".parquet"))


def test_a_second_teacher_stands_beside_the_first(make: Make, tmp_path: Path) -> None:
    first = make()
    second = make(dataset=first.output, output=str(tmp_path / "both"), name="other")
    reinforce(first)
    manifest = reinforce(second)
    assert list(manifest.settings["teachers"]) == ["teacher", "other"]
    _, members = samples_of(second.output)[0]
    assert members["teacher.npy"] == members["other.npy"]


def test_another_teacher_does_not_go_on_with_a_folder(
    make: Make, finished_run: TrainConfig
) -> None:
    reinforce(make())
    with pytest.raises(UserError, match="other settings"):
        reinforce(make(captions=("json:caption", "txt")))
    with pytest.raises(UserError, match="is the dataset itself"):
        reinforce(dataclasses.replace(make(), output=make().dataset + "/"))


def test_a_model_of_open_clips_can_teach(
    make: Make, finished_run: TrainConfig, tmp_path: Path
) -> None:
    folder = str(tmp_path / "exported")
    export(ExportConfig(checkpoint=finished_run.run, to="open_clip", output=folder))
    own, theirs = make(), make(output=str(tmp_path / "b"), teacher=f"open_clip:local-dir:{folder}")
    left, right = reinforce(own).settings["teachers"], reinforce(theirs).settings["teachers"]
    assert left["teacher"]["logit_scale"] == pytest.approx(right["teacher"]["logit_scale"])
    for (_, mine), (_, other) in zip(
        samples_of(own.output)[::19], samples_of(theirs.output)[::19], strict=True
    ):
        rows = [teacher_rows(members, "teacher", 1) for members in (mine, other)]
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-3)


@pytest.mark.parametrize("name", ["open_clip:ViT-B-32", "open_clip:NoSuchModel/x", "no/run"])
def test_a_teacher_that_is_not_there_is_refused(make: Make, name: str) -> None:
    with pytest.raises(UserError):
        reinforce(make(teacher=name))
