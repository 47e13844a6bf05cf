"""Linear layers of the encoders' blocks in 8-bit floats, on GPUs that have them, by torchao.

Weights stay as they are and under their names; a layer casts its inputs, its weights and the
gradients to 8 bits with a scale per tensor (Micikevicius et al., 2022, arXiv 2209.05433). All else
is computed as under bf16. The projections inside `nn.MultiheadAttention` are none of its layers.
"""

import torch
from torch import nn

from diagonal_infra.errors import UserError

LEAST_CAPABILITY = (8, 9)
"""Of a GPU with 8-bit floats: Ada, Hopper and newer."""
MULTIPLE = 16
"""What both widths of a layer must be a multiple of."""


def check_fp8(device: torch.device) -> None:
    """Raise unless the device has 8-bit floats.

    Raises:
        UserError: it has none.
    """
    if device.type != "cuda":
        raise UserError(f"--precision fp8 needs a GPU, this is {device.type}; use bf16")
    if (found := torch.cuda.get_device_capability(device)) < LEAST_CAPABILITY:
        least, name = ".".join(map(str, LEAST_CAPABILITY)), torch.cuda.get_device_name(device)
        raise UserError(
            f"--precision fp8 needs a GPU of compute capability {least} or newer, {name} has "
            f"{found[0]}.{found[1]}; use bf16"
        )


def use_fp8(block: nn.Module, *, emulate: bool = False) -> None:
    """Replace the linear layers of a block whose widths allow it.

    Args:
        block: of a transformer; changed in place, names and weights stay.
        emulate: round to 8 bits and multiply in the wider type, on any device.

    Raises:
        UserError: torchao is not installed.
    """
    try:
        from torchao.float8 import (  # noqa: PLC0415  # an extra, slow to import
            Float8LinearConfig,
            convert_to_float8_training,
        )
    except ImportError as error:
        raise UserError("--precision fp8 needs torchao; install diagonal[fp8]") from error

    def fits(module: nn.Module, _name: str) -> bool:
        # A subclass is read by its owner, and its forward is never called: MultiheadAttention's.
        return type(module) is nn.Linear and not (
            module.in_features % MULTIPLE or module.out_features % MULTIPLE
        )

    config = Float8LinearConfig(emulate=emulate)
    convert_to_float8_training(block, module_filter_fn=fits, config=config)
