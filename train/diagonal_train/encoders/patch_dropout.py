"""Patches of an image left out in training (FLIP; Li et al., 2023).

Which ones follows from the sample's own uniforms (`Batch.noise`), so a sample keeps the same
patches on any rank and in any micro-batch, on CPU and CUDA.

Shape suffixes: B samples, K uniforms, N tokens of the image (the class token first), P patches, W
width.
"""

import torch
from torch import Tensor, nn

from diagonal_infra.errors import UserError
from diagonal_train.encoders.models import DualEncoder

GOLDEN_GAMMA = 0x9E3779B97F4A7C15 - 2**64
"""SplitMix64's step and factors (Steele, Lea and Flood, 2014), as signed numbers."""
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


class PatchDropout(nn.Module):
    """Stands where open_clip's own module would; `noise_BK` is set before each training pass."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.noise_BK: Tensor | None = None

    def forward(self, x_BNW: Tensor) -> Tensor:
        """The class token and the kept patches, in their order; all of them in evaluation."""
        if not self.training:
            return x_BNW
        assert self.noise_BK is not None, "the model was called without noise"
        kept_BP = kept_patches(self.noise_BK, x_BNW.shape[1] - 1, self.share)
        patches_BPW = x_BNW[:, 1:].gather(1, kept_BP[:, :, None].expand(-1, -1, x_BNW.shape[2]))
        return torch.cat([x_BNW[:, :1], patches_BPW], 1)


def drop_patches(model: DualEncoder, share: float) -> None:
    """Have the image encoder leave out this share of patches in training.

    Raises:
        UserError: it is not one of open_clip's vision transformers.
    """
    visual = model.clip.visual
    if not hasattr(visual, "patch_dropout"):
        raise UserError(
            f"--patch-dropout {share} needs a vision transformer of open_clip's, "
            f"got {type(visual).__name__}; leave it at 0"
        )
    visual.patch_dropout = PatchDropout(share)


def kept_patches(noise_BK: Tensor, patches: int, share: float) -> Tensor:
    """Indices of the patches that stay, in order: as many for each sample."""
    kept = max(1, int(patches * (1 - share)))
    bits_BK = noise_BK.contiguous().view(torch.int32).long()
    # Mixed, the bits that also decide the flip and the erasing tell nothing of these any more.
    key_B = _mixed(bits_BK[:, 0] * 2**32 + bits_BK[:, -1])
    steps_P = torch.arange(1, patches + 1, device=noise_BK.device) * GOLDEN_GAMMA
    ranks_BP = _mixed(key_B[:, None] + steps_P)
    return ranks_BP.topk(kept, sorted=False).indices.sort().values


def _mixed(z: Tensor) -> Tensor:
    for shift, factor in zip((30, 27), FACTORS, strict=True):
        z = (z ^ _shifted(z, shift)) * factor
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, count: int) -> Tensor:
    """To the right, zeros coming in; `>>` repeats the sign."""
    return (z >> count) & (2 ** (64 - count) - 1)
