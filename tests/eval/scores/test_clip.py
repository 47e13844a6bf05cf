"""Similarities and embeddings of a tiny dataset."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.eval.scores.drawn import BROKEN, encoded, halves_encoder, read_table, write_dataset

from diagonal_eval.dataset import iterate_images, open_dataset, read_samples
from diagonal_eval.embed import (
    Encoder,
    embed_images,
    embed_texts,
    read_embeddings,
)
from diagonal_eval.scores import clip
from diagonal_eval.scores.config import ClipConfig
from diagonal_eval.scores.run import write_scores
from diagonal_infra.errors import CheckpointError


@pytest.fixture
def config(tiny_world: Any, use_colour_encoder: Callable[[str], None]) -> ClipConfig:
    use_colour_encoder("diagonal_eval.scores.clip")
    return ClipConfig(dataset=tiny_world.dataset, model="any", batch_size=4, local=True)


def times_written(dataset: str) -> dict[str, int]:
    files = [p for kind in ("scores", "embeddings") for p in Path(dataset, kind).rglob("0*.*")]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_scores_are_the_cosine_of_image_and_caption(
    config: ClipConfig, colour_encoder: Encoder
) -> None:
    write_scores(config)
    dataset = open_dataset(config.dataset)
    for shard in dataset.shards:
        samples = read_samples(dataset, shard)
        images = embed_images(colour_encoder, iterate_images(dataset, samples), 100)
        texts = embed_texts(colour_encoder, [sample.caption for sample in samples], 100)
        table = pq.read_table(f"{config.dataset}/scores/clip/clip/{shard}.parquet")
        assert table["uid"].to_pylist() == [sample.uid for sample in samples]
        assert table.schema.field("similarity").type == "float"
        expected = [
            float(i @ t) for i, t in zip(images.astype(float), texts.astype(float), strict=True)
        ]
        np.testing.assert_allclose(table["similarity"], expected, atol=1e-3)
        arrays = read_embeddings(f"{config.dataset}/embeddings/clip/{shard}.npz")
        assert arrays["image"].dtype == arrays["text"].dtype == np.float16
        np.testing.assert_allclose(arrays["image"], images, atol=2e-3)
        assert arrays["uid"].tolist() == [sample.uid for sample in samples]
        assert str(arrays["model"]) == colour_encoder.digest
        assert str(arrays["model_name"]) == "colours"


def test_a_done_shard_is_skipped_and_a_missing_one_made(config: ClipConfig) -> None:
    write_scores(config)
    before = times_written(config.dataset)
    write_scores(config)
    assert times_written(config.dataset) == before
    gone = f"{config.dataset}/scores/clip/clip/00000001.parquet"
    Path(gone).unlink()
    write_scores(config)
    after = times_written(config.dataset)
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {
        gone,
        f"{config.dataset}/embeddings/clip/00000001.npz",
    }


def test_another_model_scores_again(config: ClipConfig, colour_encoder: Encoder) -> None:
    write_scores(config)
    before = times_written(config.dataset)
    object.__setattr__(colour_encoder, "digest", "another")
    write_scores(config)
    after = times_written(config.dataset)
    assert all(after[path] != before[path] for path in before)


def test_a_broken_model_scores_no_shard(config: ClipConfig, colour_encoder: Encoder) -> None:
    model = colour_encoder.model
    assert isinstance(model, torch.nn.Module)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        write_scores(config)
    assert not list(Path(config.dataset, "scores", "clip", "clip").iterdir())


def test_a_taken_down_sample_has_no_embedding_and_no_score(config: ClipConfig) -> None:
    dataset = open_dataset(config.dataset)
    gone = read_samples(dataset, "00000000")[2].uid
    pq.write_table(pa.table({"uid": [gone]}), f"{config.dataset}/tombstones.parquet")
    write_scores(config)
    table = pq.read_table(f"{config.dataset}/scores/clip/clip/00000000.parquet")
    assert [row["uid"] for row in table.to_pylist() if np.isnan(row["similarity"])] == [gone]
    arrays = read_embeddings(f"{config.dataset}/embeddings/clip/00000000.npz")
    assert arrays["uid"][~arrays["image"].any(axis=1)].tolist() == [gone]


def test_a_cut_off_embedding_file_is_written_again(config: ClipConfig) -> None:
    write_scores(config)
    path = Path(config.dataset, "embeddings/clip/00000001.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert write_scores(config).shards == 1
    assert path.read_bytes() == whole


def test_the_flip_average_is_the_mean_with_the_mirror_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "load_encoder", lambda *_, **__: halves_encoder())
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = 200, 100
    samples = [(encoded(Image.fromarray(pixels)), "brighter left"), (BROKEN, "broken")]
    dataset = write_dataset(tmp_path / "d", [samples])
    config = ClipConfig(dataset=dataset, model="any", flip_average=True, local=True)
    write_scores(config)
    table = read_table(config)
    left, right = 200 / np.hypot(200, 100), 100 / np.hypot(200, 100)
    assert table["similarity"][0].as_py() == pytest.approx(left, abs=1e-3)
    assert table["similarity_flipped"][0].as_py() == pytest.approx((left + right) / 2, abs=1e-3)
    assert np.isnan(table["similarity_flipped"][1].as_py())
    without = replace(config, flip_average=False)
    assert write_scores(without).shards == 1, "other columns are another source"


def test_every_sample_of_a_shard_may_be_gone(config: ClipConfig) -> None:
    uids = [sample.uid for sample in read_samples(open_dataset(config.dataset), "00000000")]
    pq.write_table(pa.table({"uid": uids}), f"{config.dataset}/tombstones.parquet")
    write_scores(config)
    arrays = read_embeddings(f"{config.dataset}/embeddings/clip/00000000.npz")
    assert arrays["image"].shape == (len(uids), 8)
    assert not arrays["image"].any()
