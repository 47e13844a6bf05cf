import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import Tensor

from diagonal_train.encoders.needed_rows import Sequences, can_run, read_rows

WIDTH, LENGTH = 16, 6


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(WIDTH, layers=3, heads=4, ls_init_value=0.5).double().eval()


@pytest.fixture
def x_STW() -> Tensor:  # noqa: N802  # shape suffix
    return torch.randn(5, LENGTH, WIDTH, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_rows_are_those_of_the_whole_transformer(
    transformer: Transformer, x_STW: Tensor, causal: bool
) -> None:
    read_S = torch.tensor([0, 5, 2, 3, 1])
    mask = torch.full((LENGTH, LENGTH), -torch.inf).double().triu(1) if causal else None
    expected = transformer(x_STW, attn_mask=mask)[torch.arange(5), read_S]
    sequences = Sequences(length=LENGTH, read_S=read_S, causal=causal)
    found = read_rows(transformer, x_STW.flatten(0, 1), sequences)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_rows_may_stand_in_several_sequences(transformer: Transformer, x_STW: Tensor) -> None:
    x_STW[1, :4] = x_STW[0, :4]
    mask = torch.full((LENGTH, LENGTH), -torch.inf).double().triu(1)
    expected = transformer(x_STW[:2], attn_mask=mask)[:, -1]
    rows = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7]])
    places = torch.tensor([0, 1, 2, 3, 4, 5, 10, 11])
    sequences = Sequences(
        length=LENGTH,
        read_S=torch.tensor([5, 5]),
        rows_ST=rows,
        places_N=places,
        causal=True,
    )
    found = read_rows(transformer, x_STW[:2].flatten(0, 1)[places], sequences)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_changed_blocks_are_left_to_themselves(transformer: Transformer) -> None:
    assert can_run(transformer)
    assert not can_run(torch.nn.Sequential(*transformer.resblocks))

    class Changed(ResidualAttentionBlock):
        """As FSDP makes of a block, which then must be called to have its weights."""

    transformer.resblocks[1].__class__ = Changed
    assert not can_run(transformer)


def test_other_blocks_of_open_clips_are_left_to_themselves() -> None:
    assert not can_run(Transformer(WIDTH, layers=1, heads=2, scale_heads=True))
