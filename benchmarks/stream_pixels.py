"""Our pixels against open_clip's for the same crop.

    python stream_pixels.py '{"paths": […], "samples": N, "report": PATH}'    JSON to PATH

    fixed     a crop that leaves nothing to chance: ours against torchvision's RandomResizedCrop
    random    the default crop: our decoder `fast` against `pillow` with the same uniforms

`fixed` shows that `pillow` is open_clip's transform (greatest difference 0), so that `random` is a
comparison with it too. Of each picture the mean absolute difference in 1/255 and the SSIM.
"""

import io
import json
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop

import stream_window
from diagonal_train.streaming import config, crop_boxes, transforms
from stream_limits import walk

SIDE, SEED = 224, 20_26
WHOLE = (1.0, 1.0)
"""As scale and as ratio: the largest centred square, whatever the uniforms."""


def ours(picture: bytes, uniforms: Sequence[float], loader: config.LoaderConfig) -> np.ndarray:
    """Our pixels."""
    out_HWC = np.empty((SIDE, SIDE, 3), np.uint8)
    transforms.train_pixels(picture, out_HWC, uniforms, loader)
    return out_HWC


def torchvisions(picture: bytes) -> np.ndarray:
    """The pixels of open_clip's step for the fixed crop, as it lies on our grid."""
    with Image.open(io.BytesIO(picture)) as image:
        square = crop_boxes.center_box(*image.size)
        box, _ = crop_boxes.aligned_box(square, *image.size, least=SIDE)
        place = box.top, box.left, box.height, box.width
        bicubic = InterpolationMode.BICUBIC
        image_or_tensor: Any = image.convert("RGB")
        return np.asarray(resized_crop(image_or_tensor, *place, [SIDE, SIDE], bicubic))


def compare(pictures: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """Figures by name of the comparison."""
    dice = np.random.default_rng(SEED)
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for picture in pictures:
        uniforms = dice.random(transforms.CROP_UNIFORMS).tolist()
        theirs = torchvisions(picture)
        for decoder in ("fast", "pillow"):
            whole = config.LoaderConfig(decoder=decoder, crop_scale=WHOLE, crop_ratio=WHOLE)
            pair = ours(picture, uniforms, whole), theirs
            pairs.setdefault(f"fixed, {decoder} against torchvision", []).append(pair)
        both = [ours(picture, uniforms, config.LoaderConfig(decoder=d)) for d in ("fast", "pillow")]
        pairs.setdefault("random, fast against pillow", []).append((both[0], both[1]))
    return {name: difference(found) for name, found in pairs.items()}


def difference(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Over pairs of pictures: mean differences in 1/255, and SSIM."""
    apart = [np.abs(a.astype(np.int16) - b) for a, b in pairs]
    alike = [float(np.mean(structural_similarity(a, b, channel_axis=2))) for a, b in pairs]
    means = [float(one.mean()) for one in apart]
    return {
        "difference_mean": round(float(np.mean(means)), 4),
        "difference_p95": round(float(np.percentile(means, 95)), 4),
        "difference_max": int(max(one.max() for one in apart)),
        "ssim_mean": round(float(np.mean(alike)), 5),
        "ssim_p5": round(float(np.percentile(alike, 5)), 5),
        "ssim_min": round(min(alike), 5),
    }


def main(request: dict[str, Any]) -> None:
    """Compare the first pictures and write the report."""
    every = (picture for path in request["paths"] for picture, _ in walk(path))
    pictures = list(islice(every, request["samples"]))
    stream_window.write_report(request["report"], compare(pictures))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
