"""A model that takes the smaller images and shorter texts of a run's schedule.

The image encoder's positional embedding is a grid of one vector per patch. For an image with fewer
patches the grid is resized as a picture would be, bicubic with antialiasing. Resizing is linear and
separable, so it is done as two products with a small matrix, whose gradient is the same every time;
that of CUDA's own interpolation is not.

Shape suffixes: B samples, C colours, H and W pixels, Y and X patches of the image, J and I patches
the model was built for, P patches and the class, D width.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diagonal_infra.errors import UserError
from diagonal_train.config.schedule import ScheduleConfig
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.streaming.tokenize import ClipTokenizer


def follow_schedule(model: DualEncoder, tokenizer: Any, config: ScheduleConfig) -> None:
    """Make the model take what the schedule will give it; at its own size it computes as before.

    Raises:
        UserError: its encoders cannot.
    """
    if config.context_lengths and not isinstance(tokenizer, ClipTokenizer):
        raise UserError(
            "--schedule.context-lengths cuts captions of CLIP's own tokenizer only; leave it out"
        )
    if not config.image_sizes:
        return
    visual = model.clip.visual
    if not hasattr(visual, "_embeds") or not hasattr(visual, "grid_size"):
        raise UserError(
            f"--schedule.image-sizes needs a vision transformer with --model.vision, not "
            f"{type(visual).__name__}; leave it out"
        )
    patch = visual.patch_size[0]
    for _, size in config.image_sizes:
        if size % patch:
            near = max(1, round(size / patch)) * patch
            raise UserError(
                f"--schedule.image-sizes has {size}, no multiple of the patch of {patch}; {near} is"
            )
    visual._embeds = MethodType(_embed_patches, visual)


def positions_for(positions_PD: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """The embedding for `wanted` patches out of that for `grid`; the class comes first."""
    first_1D, grid_PD = positions_PD[:1].float(), positions_PD[1:].float()
    grid_JID = grid_PD.unflatten(0, grid)
    rows_YJ, columns_XI = (
        _resizing(before, after, positions_PD.device)
        for before, after in zip(grid, wanted, strict=True)
    )
    with torch.autocast(positions_PD.device.type, enabled=False):
        resized_YXD = torch.einsum("yj,xi,jid->yxd", rows_YJ, columns_XI, grid_JID)
    return torch.cat([first_1D, resized_YXD.flatten(0, 1)])


def _resizing(before: int, after: int, device: torch.device) -> Tensor:
    """The matrix by which bicubic interpolation makes `after` points of `before`."""
    points = torch.eye(before, device=device)[None, None]
    return F.interpolate(points, (after, before), mode="bicubic", antialias=True)[0, 0]


def _embed_patches(visual: Any, images_BCHW: Tensor) -> Tensor:
    """What open_clip's VisionTransformer feeds its blocks, for images of any number of patches."""
    height, width = images_BCHW.shape[-2:]
    wanted = height // visual.patch_size[0], width // visual.patch_size[1]
    if wanted == visual.grid_size:
        return type(visual)._embeds(visual, images_BCHW)
    patches_BPD = visual.conv1(images_BCHW).flatten(2).transpose(1, 2)
    class_B1D = visual.class_embedding.to(patches_BPD.dtype).expand(len(patches_BPD), 1, -1)
    positions_PD = positions_for(visual.positional_embedding, visual.grid_size, wanted)
    placed_BPD = torch.cat([class_B1D, patches_BPD], 1) + positions_PD.to(patches_BPD.dtype)
    return visual.ln_pre(visual.patch_dropout(placed_BPD))
