import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.encoders import text_trim
from diagonal_train.encoders.models import DualEncoder, build_model

CAPTIONS = [3, 9, 5, 12]
"""Tokens of each, with start and end."""
CONFIG = ModelConfig(
    embed_dim=16,
    image_size=16,
    vision=VisionConfig(patch_size=8, width=16, layers=1, head_width=8),
    text=TextConfig(context_length=40, width=32, heads=4, layers=3),
)


@pytest.fixture
def model() -> DualEncoder:
    torch.manual_seed(0)
    return build_model(CONFIG)


@pytest.fixture
def tokens_BT() -> Tensor:  # noqa: N802  # shape suffix
    return captions_of(CAPTIONS)


def captions_of(lengths: list[int]) -> Tensor:
    """Random words between start and end."""
    tokens = torch.zeros(len(lengths), 40, dtype=torch.int64)
    rng = torch.Generator().manual_seed(1)
    for row, length in zip(tokens, lengths, strict=True):
        row[:length] = torch.randint(1, 49_000, (length,), generator=rng)
        row[0], row[length - 1] = 49_406, 49_407
    return tokens


def with_gradients(model: DualEncoder, features_BD: Tensor) -> list[Tensor]:
    weights = torch.randn(features_BD.shape, generator=torch.manual_seed(2))
    model.zero_grad()
    (features_BD * weights).sum().backward()
    return [features_BD, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("lengths", [CAPTIONS, [*CAPTIONS, 30, 17, 40, 8] * 16], ids=len)
def test_trimmed_captions_have_the_embeddings_and_gradients_of_open_clips(
    model: DualEncoder, lengths: list[int]
) -> None:
    model, tokens_BT = model.double(), captions_of(lengths)
    theirs = torch.nn.functional.normalize(model.clip.encode_text(tokens_BT), dim=-1)
    expected = with_gradients(model, theirs)
    found = with_gradients(model, model.encode_text(tokens_BT))
    assert len(found) == len(expected) > 10
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_at_full_length_they_are_open_clips_to_the_bit(
    model: DualEncoder, tokens_BT: Tensor
) -> None:
    assert torch.equal(
        text_trim.encode_text(model.clip, tokens_BT), model.clip.encode_text(tokens_BT)
    )


def test_the_encoder_sees_the_longest_caption_and_no_more(
    model: DualEncoder, tokens_BT: Tensor
) -> None:
    seen: list[int] = []
    model.clip.transformer.register_forward_hook(
        lambda _, inputs, output: seen.append(inputs[0].shape[1])
    )
    model.encode_text(tokens_BT)
    model.encode_text(tokens_BT[:1])
    model.trim_text = False
    model.encode_text(tokens_BT)
    assert seen == [16, 8, 40]


def test_captions_of_like_length_are_cut_together(model: DualEncoder) -> None:
    lengths = [40, 3, 9, 5, 12, 20, 7, 8] * 16
    tokens_BT = captions_of(lengths)
    cut = text_trim.cut_captions(tokens_BT, torch.tensor(lengths))
    assert [tuple(group.shape) for group in cut.groups] == [(32, 8), (32, 8), (32, 16), (32, 40)]
    rows_BT = torch.cat([torch.nn.functional.pad(g, (0, 40 - g.shape[1])) for g in cut.groups])
    assert torch.equal(rows_BT[cut.places_B], tokens_BT)


@pytest.mark.parametrize(
    ("size", "groups"), [(1, 1), (63, 1), (64, 2), (66, 2), (128, 4), (256, 8), (8192, 8)]
)
def test_groups_divide_the_batch_and_are_not_too_small(size: int, groups: int) -> None:
    lengths = torch.randint(2, 40, (size,), generator=torch.Generator().manual_seed(0))
    cut = text_trim.cut_captions(torch.zeros(size, 40), lengths)
    assert [len(group) for group in cut.groups] == [size // groups] * groups
    assert len(text_trim.cut_captions(torch.zeros(size, 40), lengths, grouped=False).groups) == 1


@pytest.mark.parametrize(("longest", "length"), [(1, 8), (8, 8), (9, 16), (72, 72), (73, 77)])
def test_lengths_are_few_and_at_most_the_context(longest: int, length: int) -> None:
    assert text_trim.trimmed_length(longest, 77) == length


@pytest.mark.parametrize(
    ("name", "trimmed"),
    [("ViT-B-32", True), ("RN50", True), ("ViT-B-16-SigLIP", False), ("coca_base", False)],
)
def test_only_causal_encoders_read_at_the_end_are_trimmed(name: str, trimmed: bool) -> None:
    sizes: dict[str, Any] = {
        "ViT-B-32": (512, 224, 77),
        "RN50": (1024, 224, 77),
        "ViT-B-16-SigLIP": (768, 224, 64),
        "coca_base": (512, 288, 76),
    }
    embed_dim, image_size, length = sizes[name]
    config = dataclasses.replace(
        CONFIG,
        name=name,
        embed_dim=embed_dim,
        image_size=image_size,
        text=TextConfig(context_length=length),
    )
    with torch.device("meta"):
        assert build_model(config).trims_text == trimmed
