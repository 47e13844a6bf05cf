"""patch_resnet.py's image encoder, registered with timm so that a config can name it."""

from typing import Any

from timm.models import is_model, register_model
from torch import nn

from diagonal_train.encoders.patch_resnet import IMAGE_SIZE, PatchResNet

NAME = "diagonal_patch_resnet_48"

__all__ = ["IMAGE_SIZE", "NAME", "diagonal_patch_resnet_48", "register"]


def register() -> None:
    """Make the encoder known to timm; doing it again changes nothing."""
    if not is_model(NAME):
        register_model(diagonal_patch_resnet_48)


def diagonal_patch_resnet_48(*, pretrained: bool = False, **_: Any) -> nn.Module:
    """The encoder for images of 48×48 pixels, as `timm.create_model` calls it."""
    assert not pretrained, "there are no weights of this model"
    return PatchResNet()
