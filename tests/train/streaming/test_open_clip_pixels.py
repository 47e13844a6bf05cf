import io
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.open_clip_pixels import Resize, preprocess_as_open_clip
from diagonal_train.streaming.transforms import DecodeError


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(37, 91), (91, 37), (50, 50), (32, 33), (200, 67)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_those_of_open_clip(
    mode: str, size: tuple[int, int], interpolation: str
) -> None:
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels_HWC)
    content = io.BytesIO()
    image.save(content, "PNG")
    transform: Any = image_transform(
        32, is_train=False, resize_mode=mode, interpolation=interpolation, fill_color=7
    )
    resize = Resize(mode=mode, interpolation=interpolation, fill=7)  # pyright: ignore[reportArgumentType]  # one of the three
    own = preprocess_as_open_clip(32, resize)(content.getvalue())
    own_BCHW = normalised(torch.from_numpy(own)[None])
    torch.testing.assert_close(own_BCHW[0], transform(image), rtol=0, atol=0)


def test_bytes_that_are_no_image_are_refused() -> None:
    with pytest.raises(DecodeError):
        preprocess_as_open_clip(32, Resize())(b"no image")
