"""Models of every kind that the recipes have, with weights of which none is at its start."""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from diagonal_train.config.model import ModelConfig
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.encoders.models import build_model, build_tokenizer
from diagonal_train.recipes import TRAIN
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.transforms import preprocess_for_eval

TEXTS = ("a red circle", "Two  dogs, a cat's ÉCOLE!", "word " * 100, "", "naïve 日本語 👍🏽 \n x")


def config_of(name: str) -> ModelConfig:
    """A recipe's model, those of the paper with two layers; `heads` has other head
    widths and the other activation."""
    config = TRAIN["tiny" if name == "heads" else name]().model
    vision, text = config.vision, config.text
    if name == "heads":
        vision = dataclasses.replace(vision, head_width=8, width=48, layers=3)
        text = dataclasses.replace(text, heads=8)
    elif name.startswith("vit"):
        vision = dataclasses.replace(vision, layers=2)
        text = dataclasses.replace(text, layers=2)
    quick_gelu = config.quick_gelu or name == "heads"
    return dataclasses.replace(config, vision=vision, text=text, quick_gelu=quick_gelu)


def loaded_model(name: str) -> LoadedModel:
    """The model as `load_model` gives it; its weights are random."""
    config = config_of(name)
    torch.manual_seed(0)
    model = build_model(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)
    return LoadedModel(model=model, tokenizer=build_tokenizer(config), config=config, step=20)


@pytest.fixture(scope="session")
def loaded() -> Callable[[str], LoadedModel]:
    """A function from the name of a recipe to its model."""
    models: dict[str, LoadedModel] = {}

    def find(name: str) -> LoadedModel:
        if name not in models:
            models[name] = loaded_model(name)
        return models[name]

    return find


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Short, long, empty and foreign ones."""
    return list(TEXTS)


def draw_pictures(*sizes: int) -> list[bytes]:
    """Square PNGs of smooth noise."""
    pictures = []
    for number, size in enumerate(sizes):
        coarse_HWC = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse_HWC).resize((size, size)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    return pictures


@pytest.fixture(scope="session")
def pictures() -> Callable[..., list[bytes]]:
    """A function that draws square PNGs of the sizes asked for."""
    return draw_pictures


def evaluation_pixels(loaded: LoadedModel, pictures: list[bytes]) -> Tensor:
    """What evaluation feeds the model, B×3×S×S."""
    preprocess = preprocess_for_eval(loaded.image_size)
    pixels_BCHW = torch.stack([torch.from_numpy(preprocess(picture)) for picture in pictures])
    return normalised(pixels_BCHW, mean=loaded.mean, std=loaded.std)


@pytest.fixture(scope="session")
def pixels() -> Callable[[LoadedModel, list[bytes]], Tensor]:
    """A function from pictures to what evaluation feeds a model."""
    return evaluation_pixels


@pytest.fixture(scope="session")
def logits() -> Callable[[LoadedModel, list[bytes], list[str]], Tensor]:
    """A function that gives our own logits per image."""

    def compute(loaded: LoadedModel, pictures: list[bytes], texts: list[str]) -> Tensor:
        with torch.inference_mode():
            images_BCHW = evaluation_pixels(loaded, pictures)
            image_BD, text_BD, scale = loaded.model(images_BCHW, loaded.tokenizer(texts))
            return scale * image_BD @ text_BD.T

    return compute
