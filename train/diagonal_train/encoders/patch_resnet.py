"""A small image encoder, in torch alone: exports carry a copy of this file.

    48×48 ─► 7×7 convolution, stride 4 ─► 12×12×48 ─► three blocks ─► 3×3×192 ─► LayerNorm

The last map is flattened, not averaged: drawings are centred, so a feature's place tells something.
Group norm stands in for batch norm, whose statistics over a rank's part of the batch would make the
model depend on how many ranks there are.

Shape suffixes: B samples, C channels, H and W places, F features.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

IMAGE_SIZE = 48
CHANNELS = (48, 96, 192)
STEM_STRIDE = 4
CHANNELS_PER_GROUP = 16


class PatchResNet(nn.Module):
    """Embeds images as `num_features` normalised numbers; open_clip adds the projection."""

    default_cfg = {"pool_size": None}  # noqa: RUF012  # open_clip asks whether it ends in a map

    def __init__(self) -> None:
        super().__init__()
        first = CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 7, stride=STEM_STRIDE, padding=3, bias=False),
            _group_norm(first),
            nn.ReLU(),
        )
        before = (first, *CHANNELS)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before[i], after, stride=1 if i == 0 else 2)
                for i, after in enumerate(CHANNELS)
            )
        )
        side = IMAGE_SIZE // STEM_STRIDE // 2 ** (len(CHANNELS) - 1)
        self.num_features = CHANNELS[-1] * side * side
        self.norm = nn.LayerNorm(self.num_features)

    def reset_classifier(self, *_: Any, **__: Any) -> None:
        """There is no classifier to take off; open_clip asks all timm models to."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Features B×F."""
        features_BF = self.blocks(self.stem(images_BCHW)).flatten(1)
        return self.norm(features_BF)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; it starts as the shortcut alone."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _group_norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = _group_norm(after)
        self.shortcut = nn.Sequential()
        if before != after or stride > 1:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(before, after, 1, bias=False),
                _group_norm(after),
            )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The block's output map."""
        y_BCHW = F.relu(self.norm1(self.conv1(x_BCHW)))
        return F.relu(self.norm2(self.conv2(y_BCHW)) + self.shortcut(x_BCHW))


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // CHANNELS_PER_GROUP), channels)
