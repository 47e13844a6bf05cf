import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, CLIPModel

from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.encoders.models import build_model
from diagonal_train.exporting.hugging_face import check_held, write_hugging_face
from diagonal_train.streaming.tokenize import ClipTokenizer


@pytest.mark.parametrize("name", ["tiny", "heads", "vit-b32"])
def test_transformers_gives_the_same_logits_from_the_same_picture_and_text(
    name, loaded, texts, pictures, logits, tmp_path: Path
) -> None:
    ours = loaded(name)
    write_hugging_face(tmp_path, ours)
    model = CLIPModel.from_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path, backend="pil")
    squares = pictures(ours.image_size, 100, 333)
    images = [Image.open(io.BytesIO(square)) for square in squares]
    expected = logits(ours, squares, texts)
    for padding in (True, "max_length"):
        inputs = processor(
            text=texts, images=images, return_tensors="pt", padding=padding, truncation=True
        )
        with torch.inference_mode():
            theirs = model(**inputs).logits_per_image
        torch.testing.assert_close(theirs, expected, atol=1e-5, rtol=0)


def test_torchvisions_pixels_are_the_same_at_the_models_size(
    loaded, pictures, pixels, tmp_path: Path
) -> None:
    ours = loaded("tiny")
    write_hugging_face(tmp_path, ours)
    square = pictures(ours.image_size)
    images = Image.open(io.BytesIO(square[0]))
    processor = AutoProcessor.from_pretrained(tmp_path)
    theirs = processor(images=images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(theirs, pixels(ours, square), atol=1e-6, rtol=0)


def test_texts_are_pooled_at_their_first_end_whatever_stands_behind(loaded, tmp_path: Path) -> None:
    ours = loaded("tiny")
    write_hugging_face(tmp_path, ours)
    model: Any = CLIPModel.from_pretrained(tmp_path)
    ours_BT = ours.tokenizer(["a red circle", "a dog"])
    length = int((ours_BT != 0).sum(1).max())
    end = ours_BT.max()
    padded_with_end_BT = torch.where(ours_BT == 0, end, ours_BT)
    with torch.inference_mode():
        expected = ours.model.clip.encode_text(ours_BT)
        for tokens_BT in (ours_BT, padded_with_end_BT, ours_BT[:, :length]):
            theirs = model.get_text_features(input_ids=tokens_BT).pooler_output
            torch.testing.assert_close(theirs, expected, atol=1e-5, rtol=0)


def test_an_image_encoder_unknown_to_transformers_brings_its_code(
    loaded, texts, pictures, logits, tmp_path: Path
) -> None:
    ours = loaded("demo")
    folder, picture, answer = (tmp_path / name for name in ("out", "p.png", "logits.npy"))
    folder.mkdir()
    write_hugging_face(folder, ours)
    picture.write_bytes(pictures(ours.image_size)[0])
    script = Path(__file__).with_name("ask_transformers.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script, folder, picture, answer, *texts],
        env=environment | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "code")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stdout
    expected = logits(ours, [picture.read_bytes()], texts)
    np.testing.assert_allclose(np.load(answer), expected, atol=1e-5, rtol=0)


def test_clip_model_refuses_what_has_code_of_its_own(loaded, tmp_path: Path) -> None:
    write_hugging_face(tmp_path, loaded("demo"))
    with pytest.raises(RuntimeError, match="mismatched_sizes"):
        CLIPModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (ModelConfig(name="RN50", embed_dim=1024), "layers of a ResNet"),
        (
            ModelConfig(name="ViT-B-16-SigLIP", embed_dim=768, text=TextConfig(context_length=64)),
            "custom_text.* pool_type",
        ),
        (ModelConfig(vision=VisionConfig(timm_name="resnet18")), "timm_model_name"),
    ],
)
def test_what_neither_can_hold_is_refused_with_the_other_formats(
    config: ModelConfig, reason: str
) -> None:
    with torch.device("meta"):
        model = build_model(config)
    tokenizer = ClipTokenizer(config.text.context_length)
    other = LoadedModel(model=model, tokenizer=tokenizer, config=config, step=1)
    with pytest.raises(UserError, match=rf"{reason}.*--to open_clip or --to onnx"):
        check_held(other)


def test_clip_model_has_no_bias_of_the_logits(loaded) -> None:
    ours = loaded("heads")
    biased = build_model(ours.config)
    biased.clip.logit_bias = torch.nn.Parameter(torch.tensor(-10.0))
    with pytest.raises(UserError, match="logit_bias"):
        check_held(dataclasses.replace(ours, model=biased))


def test_a_built_in_vision_transformer_is_held() -> None:
    config = ModelConfig(name="ViT-B-32-quickgelu")
    with torch.device("meta"):
        model = build_model(config)
    check_held(LoadedModel(model=model, tokenizer=ClipTokenizer(77), config=config, step=1))
