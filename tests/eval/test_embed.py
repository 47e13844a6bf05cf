import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diagonal_eval.embed import (
    OnBatch,
    build_encoder,
    cached,
    embed_images,
    embed_texts,
    load_encoder,
)
from diagonal_eval.model_names import open_clip_name, split_checkpoint
from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train.encoders.load import load_model
from diagonal_train.exporting.open_clip import write_open_clip
from diagonal_train.streaming.open_clip_pixels import Resize


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 24), colour).save(buffer, format="PNG")
    return buffer.getvalue()


COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10), (10, 250, 250)]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_batches_change_nothing_and_order_stays(colour_encoder: Any, batch_size: int) -> None:
    counted: list[int] = []
    images = [png(colour) for colour in COLOURS]
    rows = embed_images(colour_encoder, images, batch_size, counted.append)
    assert rows.dtype == np.float16
    pixels = torch.tensor(COLOURS).float() / 255 - 0.5
    expected = torch.nn.functional.normalize(colour_encoder.model.project(pixels), dim=-1)
    np.testing.assert_allclose(rows, expected.detach().numpy(), atol=2e-3)
    assert sum(counted) == len(images)


def test_a_picture_is_brought_to_the_square_as_the_model_was_measured(colour_encoder: Any) -> None:
    # Red in the middle third, blue beside it: a cut sees red only, a squash both.
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, :, 2] = 255
    pixels[:, 20:40] = (255, 0, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    red, mixed = (
        torch.nn.functional.normalize(colour_encoder.model.project(torch.tensor(colour)), dim=-1)
        for colour in ((0.5, -0.5, -0.5), (1 / 3 - 0.5, -0.5, 2 / 3 - 0.5))
    )
    for resize, expected in ((Resize(), red), (Resize(mode="squash"), mixed)):
        encoder = replace(colour_encoder, resize=resize)
        row = embed_images(encoder, [buffer.getvalue()], 1)[0]
        np.testing.assert_allclose(row, expected.detach().numpy(), atol=0.03)


def test_a_picture_that_cannot_be_decoded_keeps_its_place(
    colour_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        rows = embed_images(colour_encoder, [png(COLOURS[0]), b"no image", png(COLOURS[1])], 2)
    assert [bool(row.any()) for row in rows] == [True, False, True]
    assert "picture not decoded" in caplog.text


def test_texts_come_back_in_their_order_and_once_encoded(colour_encoder: Any) -> None:
    counted: list[int] = []
    texts = ["red square", "blue square", "red square"]
    rows = embed_texts(colour_encoder, texts, 1, counted.append)
    assert counted == [1, 1]
    np.testing.assert_array_equal(rows[0], rows[2])
    assert (rows[0] != rows[1]).any()


def test_a_model_whose_embeddings_are_not_finite_is_refused(colour_encoder: Any) -> None:
    with torch.no_grad():
        colour_encoder.model.project.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"model of colours .* not finite"):
        embed_images(colour_encoder, [png(COLOURS[0])], 1)
    with pytest.raises(CheckpointError, match=r"model of colours .* not finite"):
        embed_texts(colour_encoder, ["red square"], 1)


def test_nothing_to_embed_is_an_empty_array(colour_encoder: Any) -> None:
    assert len(embed_images(colour_encoder, [], 4)) == len(embed_texts(colour_encoder, [], 4)) == 0


def test_embeddings_are_computed_once(tmp_path: Path) -> None:
    path, calls = str(tmp_path / "cache" / "rows.npz"), []

    def compute(on_batch: OnBatch) -> np.ndarray:
        calls.append(1)
        on_batch(2)
        return np.ones((2, 3), np.float16)

    first, second = (cached(path, 2, "rows", compute) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(calls) == 1


def test_digest_names_weights_and_preprocessing(colour_encoder: Any) -> None:
    def rebuilt(**changes: Any) -> str:
        e = replace(colour_encoder, **changes)
        return build_encoder(
            e.model, name=e.name, tokenizer=e.tokenizer, image_size=e.image_size, mean=e.mean,
            std=e.std, step=e.step, device=e.device, resize=e.resize,
        ).digest  # fmt: skip

    assert rebuilt() == colour_encoder.digest
    assert rebuilt(step=8) == colour_encoder.digest
    assert rebuilt(image_size=32) != colour_encoder.digest
    assert rebuilt(resize=Resize(mode="squash")) != colour_encoder.digest
    with torch.no_grad():
        colour_encoder.model.project.weight[0, 0] += 1
    assert rebuilt() != colour_encoder.digest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("out/runs/a", ("out/runs/a", None)),
        ("out/runs/a/", ("out/runs/a", None)),
        ("out/a/checkpoints/step-00001000/", ("out/a", 1000)),
        ("out/a/checkpoints/latest", ("out/a/checkpoints/latest", None)),
    ],
)
def test_a_checkpoint_is_a_run_and_a_step(path: str, expected: tuple[str, int | None]) -> None:
    assert split_checkpoint(path) == expected


def test_a_real_run_is_loaded_at_any_step(tiny_run: str) -> None:
    last, first = load_encoder(tiny_run), load_encoder(tiny_run, step=0)
    named = load_encoder(f"{tiny_run}/checkpoints/step-00000008")
    assert (last.step, first.step, named.step) == (8, 0, 8)
    assert last.name == f"{tiny_run} at step 8"
    assert last.digest == named.digest != first.digest
    assert embed_images(last, [png(COLOURS[0])], 1).shape == (1, 32)
    assert embed_texts(last, ["a red square"], 1).shape == (1, 32)


def test_a_missing_run_or_step_is_a_user_error(tiny_run: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.* neither a run .* nor a model"):
        load_encoder(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="step 5"):
        load_encoder(f"{tiny_run}/checkpoints/step-00000005")


@pytest.mark.parametrize(
    ("model", "pretrained", "expected"),
    [
        ("ViT-B-32/openai", None, "ViT-B-32/openai"),
        ("ViT-B-32", "weights/b32.pt", "ViT-B-32/weights/b32.pt"),
        ("open_clip:ViT-B-32/openai", None, "ViT-B-32/openai"),
        ("local-dir:out/export", None, "local-dir:out/export"),
    ],
)
def test_a_model_of_open_clips_is_known_by_its_name(
    model: str, pretrained: str | None, expected: str
) -> None:
    assert open_clip_name(model, pretrained) == expected


def test_a_run_is_no_model_of_open_clips(tiny_run: str) -> None:
    assert open_clip_name(tiny_run, None) is None
    assert open_clip_name(f"{tiny_run}/checkpoints/step-00000008", None) is None


def test_a_model_without_weights_and_weights_without_a_model_are_refused(tiny_run: str) -> None:
    with pytest.raises(UserError, match=r"without weights.*--pretrained FILE"):
        load_encoder("ViT-B-32")
    with pytest.raises(UserError, match="no model of open_clip's"):
        load_encoder(tiny_run, pretrained="b32.pt")
    with pytest.raises(UserError, match=r"cannot load 'RN50/nowhere\.pt'"):
        load_encoder("RN50", pretrained="nowhere.pt")


def test_an_exported_model_gives_the_embeddings_of_its_run(tiny_run: str, tmp_path: Path) -> None:
    write_open_clip(tmp_path, load_model(tiny_run))
    run, exported = load_encoder(tiny_run), load_encoder(f"local-dir:{tmp_path}")
    pictures = [png(colour) for colour in COLOURS]
    np.testing.assert_allclose(
        embed_images(run, pictures, 8), embed_images(exported, pictures, 8), atol=2e-3
    )
