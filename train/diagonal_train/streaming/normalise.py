"""From uint8 pixels to what an image encoder takes."""

import torch
from torch import Tensor

from diagonal_train.streaming.config import CLIP_MEAN, CLIP_STD


def normalised(
    images: Tensor,
    *,
    mean: tuple[float, float, float] = CLIP_MEAN,
    std: tuple[float, float, float] = CLIP_STD,
) -> Tensor:
    """B×C×H×W uint8 as float32 of 1, less the mean, over the deviation; colours innermost."""
    return normalise(images.float().div_(255), mean=mean, std=std)


def normalise(
    pixels_BCHW: Tensor, *, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """Subtract the mean and divide by the deviation, per colour; the pixels are overwritten."""
    mean_C11 = torch.tensor(mean, device=pixels_BCHW.device)[:, None, None]
    std_C11 = torch.tensor(std, device=pixels_BCHW.device)[:, None, None]
    # In place: on a CPU new memory costs three times the arithmetic.
    pixels_BCHW.sub_(mean_C11).div_(std_C11)
    # Convolutions are faster with the colours innermost, on CPU and CUDA.
    return pixels_BCHW.contiguous(memory_format=torch.channels_last)
