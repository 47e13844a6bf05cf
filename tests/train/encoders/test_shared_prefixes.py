import numpy as np
import pytest
import torch

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.encoders.models import DualEncoder, build_model, build_tokenizer
from diagonal_train.encoders.shared_prefixes import shared_rows

CONFIG = ModelConfig(
    embed_dim=16,
    image_size=16,
    vision=VisionConfig(patch_size=8, width=16, layers=1, head_width=8),
    text=TextConfig(context_length=40, width=32, heads=4, layers=3),
)
TEXTS = [
    *(f"a {how} photo of a {what}." for what in ("cat", "dog", "catfish") for how in ("bad", "")),
    *("", "a", "a bad photo of a cat.", "una tarta de queso y nada más " * 9),
]


@pytest.fixture
def model() -> DualEncoder:
    torch.manual_seed(0)
    built = build_model(CONFIG).double().eval()
    built.share_prefixes = True
    return built


def test_embeddings_are_open_clips(model: DualEncoder) -> None:
    tokens_BT = build_tokenizer(CONFIG)(TEXTS)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.clip.encode_text(tokens_BT), dim=-1)
        found = model.encode_text(tokens_BT)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_the_encoder_computes_each_beginning_once(model: DualEncoder) -> None:
    seen: list[int] = []
    model.clip.transformer.resblocks[0].mlp.register_forward_hook(
        lambda _, inputs, output: seen.append(len(inputs[0]))
    )
    tokens_BT = build_tokenizer(CONFIG)(TEXTS)
    with torch.inference_mode():
        model.encode_text(tokens_BT)
    lengths = model.text_lengths(tokens_BT)
    assert seen == [len(beginnings(tokens_BT.numpy(), lengths.numpy()))]


def test_rows_stand_for_equal_beginnings() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 200)
    tokens = rng.integers(1, 4, (200, 8))
    # An end that stands nowhere else, as texts have it, and anything behind it.
    tokens[np.arange(200), lengths - 1] = 9
    rows, places = shared_rows(tokens, lengths)
    of_row = {}
    for text, length in enumerate(lengths):
        for end in range(length):
            beginning = tuple(tokens[text, : end + 1])
            assert of_row.setdefault(int(rows[text, end]), beginning) == beginning
    assert len(of_row) == len(places) == len(beginnings(tokens, lengths))
    assert (rows.flatten()[places] == np.arange(len(places))).all()


def beginnings(tokens: np.ndarray, lengths: np.ndarray) -> set[tuple[int, ...]]:
    return {
        tuple(row[: end + 1])
        for row, length in zip(tokens, lengths, strict=True)
        for end in range(length)
    }
