"""Parameters, FLOPs and activations of a model, counted without weights."""

import dataclasses

import pytest
import torch

from diagonal_train.config.model import TextConfig
from diagonal_train.encoders.models import build_model
from diagonal_train.planning.footprint import blocks_of, measure
from diagonal_train.recipes import TRAIN

PUBLISHED_GFLOP = {"vit-b32": 14.78, "vit-b16": 41.09, "vit-l14": 175.33, "vit-l14-336": 395.2}
"""Forward passes in open_clip's model_profile.csv."""


@pytest.mark.parametrize("name", list(PUBLISHED_GFLOP))
def test_the_forward_pass_has_the_published_flops(name: str) -> None:
    found = measure(TRAIN[name]())
    assert found.forward_flops / 1e9 == pytest.approx(PUBLISHED_GFLOP[name], rel=0.005)
    assert found.training_flops == 3 * found.forward_flops


def test_parameters_are_those_of_the_model_and_by_encoder() -> None:
    config = TRAIN["tiny"]()
    model, found = build_model(config.model), measure(config)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.image.parameters == sum(p.numel() for p in model.clip.visual.parameters())
    # The logit scale belongs to neither.
    assert found.parameters == found.image.parameters + found.text.parameters + 1


def test_the_flops_of_a_shorter_text_are_those_of_a_model_that_short() -> None:
    config = TRAIN["vit-b32"]()
    text = TextConfig(context_length=24)
    shorter = dataclasses.replace(config, model=dataclasses.replace(config.model, text=text))
    found = measure(config).text_flops_at(24)
    # The projection of the one pooled token does not shrink: a part in a thousand.
    assert found == pytest.approx(measure(shorter).text.forward_flops, rel=0.002)


def test_activations_are_what_a_real_forward_pass_keeps() -> None:
    config = TRAIN["tiny"]()
    model = build_model(config.model).train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def kept_bytes(samples: int) -> int:
        kept: dict[int, torch.Tensor] = {}

        def keep(value: torch.Tensor) -> torch.Tensor:
            kept[value.untyped_storage().data_ptr()] = value
            return value

        images_BCHW = torch.zeros(samples, 3, config.model.image_size, config.model.image_size)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            features_BD = model.clip.encode_image(images_BCHW)
        del features_BD
        return sum(v.untyped_storage().nbytes() for at, v in kept.items() if at not in own)

    assert measure(config).image.activation_bytes == (kept_bytes(4) - kept_bytes(2)) // 2


def test_bf16_keeps_about_half_and_copies_of_the_weights() -> None:
    config = TRAIN["tiny"]()
    full = measure(config).image
    half = measure(dataclasses.replace(config, precision="bf16")).image
    assert 0.4 < half.activation_bytes / full.activation_bytes < 0.7
    assert half.fixed_bytes > full.fixed_bytes


@pytest.mark.parametrize(("name", "blocks"), [("vit-b32", 24), ("rn50", 28), ("demo", 4)])
def test_blocks_are_the_residual_blocks_of_both_encoders(name: str, blocks: int) -> None:
    with torch.device("meta"):
        model = build_model(TRAIN[name]().model)
    assert len(blocks_of(model)) == blocks


def test_recomputed_blocks_keep_less_and_only_causal_text_is_trimmed() -> None:
    found = measure(TRAIN["siglip-b16-224"]())
    for encoder in (found.image, found.text):
        assert encoder.checkpointed_bytes < 0.2 * encoder.activation_bytes
        assert 0 < encoder.block_bytes < 0.2 * encoder.activation_bytes
    assert not found.causal
    assert measure(TRAIN["tiny"]()).causal
