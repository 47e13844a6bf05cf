import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from diagonal_eval import scores
from diagonal_eval.config import ScoresConfig
from diagonal_eval.dataset import iterate_images, open_dataset, read_samples
from diagonal_eval.embed import Encoder, embed_images, embed_texts, read_embeddings
from diagonal_infra.errors import CheckpointError, UnitError


@pytest.fixture
def config(tiny_world: Any, use_colour_encoder: Callable[[str], None]) -> ScoresConfig:
    use_colour_encoder("diagonal_eval.scores")
    return ScoresConfig(dataset=tiny_world.dataset, checkpoint="any", batch_size=4)


def times_written(dataset: str) -> dict[str, int]:
    files = [p for kind in ("scores", "embeddings") for p in Path(dataset, kind).rglob("*.*")]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_scores_are_the_cosine_of_image_and_caption(
    config: ScoresConfig, colour_encoder: Encoder
) -> None:
    scores.main(config)
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


def test_a_done_shard_is_skipped_and_a_missing_one_made(config: ScoresConfig) -> None:
    scores.main(config)
    before = times_written(config.dataset)
    scores.main(config)
    assert times_written(config.dataset) == before
    gone = f"{config.dataset}/scores/clip/clip/00000001.parquet"
    Path(gone).unlink()
    scores.main(config)
    after = times_written(config.dataset)
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {
        gone,
        f"{config.dataset}/embeddings/clip/00000001.npz",
    }


def test_another_model_scores_again(config: ScoresConfig, colour_encoder: Encoder) -> None:
    scores.main(config)
    before = times_written(config.dataset)
    object.__setattr__(colour_encoder, "digest", "another")
    scores.main(config)
    after = times_written(config.dataset)
    assert all(after[path] != before[path] for path in before)


def test_a_failed_shard_is_named_and_the_others_done(
    config: ScoresConfig, caplog: pytest.LogCaptureFixture
) -> None:
    Path(config.dataset, "shards", "00000000.tar").write_bytes(bytes(100_000))
    with caplog.at_level(logging.ERROR), pytest.raises(UnitError, match="00000000"):
        scores.main(config)
    assert "shard not scored" in caplog.text
    assert [p.name for p in Path(config.dataset, "scores/clip/clip").iterdir()] == [
        "00000001.parquet"
    ]


def test_a_broken_model_scores_no_shard(config: ScoresConfig, colour_encoder: Encoder) -> None:
    model = colour_encoder.model
    assert isinstance(model, torch.nn.Module)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        scores.main(config)
    assert not list(Path(config.dataset, "scores", "clip", "clip").iterdir())


def test_a_taken_down_sample_has_no_embedding_and_no_score(config: ScoresConfig) -> None:
    dataset = open_dataset(config.dataset)
    gone = read_samples(dataset, "00000000")[2].uid
    pq.write_table(pa.table({"uid": [gone]}), f"{config.dataset}/tombstones.parquet")
    scores.main(config)
    table = pq.read_table(f"{config.dataset}/scores/clip/clip/00000000.parquet")
    assert [row["uid"] for row in table.to_pylist() if np.isnan(row["similarity"])] == [gone]
