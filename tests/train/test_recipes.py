"""The published runs: their numbers, and that docs/recipes.md has the same."""

import re
from pathlib import Path

import pytest
import torch

from diagonal_train.encoders.models import build_model
from diagonal_train.recipes import TRAIN

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
ROW = re.compile(r"^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|(.*)\|$", re.M)
ROWS = {row[0]: row[1:] for row in ROW.findall(PAGE.read_text())}
PAPER = {
    # lr, image size, embed_dim, width and heads of the text encoder: the paper's tables 18-20.
    "rn50": (5e-4, 224, 1024, 512, 8),
    "rn101": (5e-4, 224, 512, 512, 8),
    "rn50x4": (5e-4, 288, 640, 640, 10),
    "rn50x16": (4e-4, 384, 768, 768, 12),
    "rn50x64": (3.6e-4, 448, 1024, 1024, 16),
    "vit-b32": (5e-4, 224, 512, 512, 8),
    "vit-b16": (5e-4, 224, 512, 512, 8),
    "vit-l14": (4e-4, 224, 768, 768, 12),
    "vit-l14-336": (2e-5, 336, 768, 768, 12),
}


def test_the_page_has_every_recipe_and_no_other() -> None:
    assert list(ROWS) == list(TRAIN)


@pytest.mark.parametrize("name", list(TRAIN))
def test_the_page_has_the_recipes_numbers_and_an_expectation_with_its_source(name: str) -> None:
    config = TRAIN[name]()
    batch, lr, samples, warmup, rest = ROWS[name]
    assert int(batch.replace(",", "")) == config.global_batch_size
    assert float(lr) == config.optimizer.lr
    assert int(samples.replace(",", "")) == config.samples_seen
    assert int(warmup.replace(",", "")) == config.optimizer.warmup_steps
    assert all(cell.strip() for cell in rest.split("|"))


@pytest.mark.parametrize("name", list(PAPER))
def test_the_papers_models_have_the_papers_numbers(name: str) -> None:
    config = TRAIN[name]()
    model, optimizer = config.model, config.optimizer
    text = model.text
    sizes = (optimizer.lr, model.image_size, model.embed_dim, text.width, text.heads)
    assert sizes == PAPER[name]
    assert (text.layers, text.context_length, model.quick_gelu) == (12, 77, True)
    is_resnet = name.startswith("rn")
    assert optimizer.beta2 == (0.999 if is_resnet else 0.98)
    assert optimizer.eps == (1e-8 if is_resnet else 1e-6)
    assert (optimizer.beta1, optimizer.weight_decay, optimizer.warmup_steps) == (0.9, 0.2, 2000)
    passes = 1 if name == "vit-l14-336" else 32
    assert (config.global_batch_size, config.samples_seen) == (32_768, passes * 400_000_000)


def test_the_sigmoid_recipe_has_its_papers_numbers() -> None:
    config = TRAIN["siglip-b16-224"]()
    optimizer = config.optimizer
    assert config.loss == "sigmoid"
    assert config.model.initial_temperature == 0.1
    assert (optimizer.lr, optimizer.beta2, optimizer.weight_decay) == (1e-3, 0.95, 1e-4)


def test_the_scales_of_datacomp_see_the_size_of_their_pool() -> None:
    sizes = [TRAIN[f"datacomp-{scale}"]().samples_seen for scale in ("small", "medium", "large")]
    assert sizes == [12_800_000, 128_000_000, 1_280_000_000]


@pytest.mark.parametrize("name", [name for name in TRAIN if name.startswith(("rn", "vit"))])
def test_the_record_of_a_model_is_what_is_built(name: str) -> None:
    config = TRAIN[name]().model
    with torch.device("meta"):
        clip = build_model(config).clip
    assert clip.positional_embedding.shape == (config.text.context_length, config.text.width)
    block = clip.transformer.resblocks[0]
    assert (block.attn.num_heads, len(clip.transformer.resblocks)) == (config.text.heads, 12)
    assert type(block.mlp[1]).__name__ == "QuickGELU"
    assert clip.text_projection.shape[1] == config.embed_dim
