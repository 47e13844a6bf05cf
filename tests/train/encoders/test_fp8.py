import pytest
import torch
from torch import nn

from diagonal_infra.errors import UserError
from diagonal_train.encoders.fit_model import encoder_blocks
from diagonal_train.encoders.fp8 import check_fp8, use_fp8
from diagonal_train.encoders.models import build_model
from diagonal_train.recipes import TRAIN

# torchao registers an enumeration in a way that torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_a_block_in_8_bits_is_about_the_same_and_keeps_its_names() -> None:
    torch.manual_seed(0)
    model = build_model(TRAIN["tiny"]().model)
    block = encoder_blocks(model)[0][0]
    x_BND = torch.randn(4, 6, 32, requires_grad=True)
    whole, names = block(x_BND), list(block.state_dict())
    (gradient,) = torch.autograd.grad(whole.square().sum(), x_BND)
    use_fp8(block, emulate=True)
    assert list(block.state_dict()) == names
    rounded = block(x_BND)
    (other,) = torch.autograd.grad(rounded.square().sum(), x_BND)
    for exact, found in ((whole, rounded), (gradient, other)):
        error = (exact - found).norm() / exact.norm()
        assert 0 < error < 0.05


def test_layers_of_odd_widths_stay() -> None:
    block = nn.Sequential(nn.Linear(32, 20), nn.Linear(20, 32), nn.Linear(32, 48))
    use_fp8(block, emulate=True)
    assert [type(layer) is nn.Linear for layer in block] == [True, True, False]


def test_a_device_without_8_bit_floats_is_refused() -> None:
    with pytest.raises(UserError, match="fp8 needs a GPU, this is cpu; use bf16"):
        check_fp8(torch.device("cpu"))
