"""From uint8 pixels to the model's input, on the device: random changes, then normalisation.

Every random choice comes from the sample's own uniforms (`Batch.noise`), each step from its own
columns, so a sample looks the same on any rank, and switching a step on leaves the others alone.
The first column of a step decides whether it happens, the rest how. Steps run in COLUMNS' order.

Shape suffixes: B samples, C colours, H and W pixels, K uniforms.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from diagonal_train.config.augment import AugmentConfig
from diagonal_train.streaming.normalise import normalise

COLUMNS = {
    "flip": slice(0, 1),
    "background": slice(27, 32),
    "affine": slice(22, 27),
    "colour": slice(1, 5),
    "hue": slice(5, 7),
    "permute_channels": slice(7, 9),
    "greyscale": slice(9, 10),
    "invert": slice(10, 11),
    "outline": slice(11, 14),
    "erase": slice(14, 22),
}
CHANNEL_ORDERS = torch.tensor(list(itertools.permutations(range(3))))


def prepare_images(
    images_BCHW: Tensor,
    noise_BK: Tensor,
    config: AugmentConfig,
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Tensor:
    """The model's input from a training batch: float, augmented, normalised."""
    pixels_BCHW = images_BCHW.float().div_(255)
    for name, columns in COLUMNS.items():
        probability = getattr(config, name)
        if probability > 0:
            chosen = (noise_BK[:, columns.start] < probability).nonzero().flatten()
            if not len(chosen):
                continue  # affine_grid refuses a batch of none
            how = noise_BK[chosen, columns].T[1:, :, None, None, None]
            changed_BCHW = STEPS[name](pixels_BCHW[chosen], *how)
            pixels_BCHW.index_copy_(0, chosen, changed_BCHW)
    return normalise(pixels_BCHW, mean=mean, std=std)


def _between(low: float, high: float, uniform: Tensor) -> Tensor:
    return low + (high - low) * uniform


def _flip(x: Tensor) -> Tensor:
    return x.flip(3)


def _background(x: Tensor, white: Tensor, *colour: Tensor) -> Tensor:
    """Pixels as the top left corner is take another colour, white in half of the cases."""
    corner = x[:, :, :2, :2].mean((2, 3), keepdim=True)
    behind = (x - corner).abs().amax(1, keepdim=True) < 0.06
    colour_BC11 = torch.cat(colour, 1).where(white >= 0.5, 1.0)
    return torch.where(behind, colour_BC11, x)


def _affine(x: Tensor, angle: Tensor, zoom: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Turned by up to 12°, seen from 0.85 to 1.4 times as far, shifted by up to 4 % of a side."""
    turn = _between(-1, 1, angle.flatten()) * math.radians(12)
    distance = _between(0.85, 1.4, zoom.flatten())
    # grid_sample's coordinates run from -1 to 1, so 0.08 is 4 % of a side.
    across = _between(-0.08, 0.08, right.flatten())
    along = _between(-0.08, 0.08, down.flatten())
    cosine, sine = distance * turn.cos(), distance * turn.sin()
    matrix_B23 = torch.stack([cosine, -sine, across, sine, cosine, along], 1).view(-1, 2, 3)
    grid_BHW2 = F.affine_grid(matrix_B23, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid_BHW2, padding_mode="border", align_corners=False)


def _colour(x: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    x = x * _between(0.6, 1.3, brightness)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * _between(0.5, 1.4, contrast)
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * _between(0.2, 1.6, saturation)).clamp(0, 1)


def _hue(x: Tensor, angle: Tensor) -> Tensor:
    """Rotation of the colour cube about its grey diagonal (Rodrigues' formula)."""
    turn = angle.flatten() * 2 * math.pi
    same = turn.cos() + (1 - turn.cos()) / 3
    left = (1 - turn.cos()) / 3 - math.sqrt(1 / 3) * turn.sin()
    right = (1 - turn.cos()) / 3 + math.sqrt(1 / 3) * turn.sin()
    rows = [same, left, right, right, same, left, left, right, same]
    rotation_BCC = torch.stack(rows, 1).view(-1, 3, 3)
    return torch.einsum("bij,bjhw->bihw", rotation_BCC, x).clamp(0, 1)


def _permute_channels(x: Tensor, which: Tensor) -> Tensor:
    order_BC = CHANNEL_ORDERS.to(x.device)[(which.flatten() * len(CHANNEL_ORDERS)).long()]
    return x.gather(1, order_BC[:, :, None, None].expand_as(x))


def _greyscale(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True).expand_as(x)


def _invert(x: Tensor) -> Tensor:
    return 1 - x


def _outline(x: Tensor, darkness: Tensor, gain: Tensor) -> Tensor:
    """Darken where the brightness of neighbouring pixels differs."""
    grey = x.mean(1, keepdim=True)
    difference = F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)
    edge = (difference * _between(1, 3, gain)).clamp(0, 1)
    return x * (1 - _between(0.5, 1, darkness) * edge)


def _erase(
    x: Tensor, tall: Tensor, wide: Tensor, down: Tensor, along: Tensor, *colour: Tensor
) -> Tensor:
    height, width = x.shape[2:]
    box_height, box_width = _between(0.1, 0.4, tall) * height, _between(0.1, 0.4, wide) * width
    top, left = down * (height - box_height), along * (width - box_width)
    rows = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    inside = (rows >= top) & (rows < top + box_height)
    inside = inside & (columns >= left) & (columns < left + box_width)
    return torch.where(inside, torch.cat(colour, 1), x)


STEPS = {
    "flip": _flip,
    "background": _background,
    "affine": _affine,
    "colour": _colour,
    "hue": _hue,
    "permute_channels": _permute_channels,
    "greyscale": _greyscale,
    "invert": _invert,
    "outline": _outline,
    "erase": _erase,
}
