import dataclasses
import math

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.crop_boxes import (
    CROP_UNIFORMS,
    Box,
    aligned_box,
    center_box,
    random_box,
)

SIZES = [(400, 300), (300, 400), (224, 224), (17, 900), (900, 17), (3, 3), (2, 1000), (640, 427)]
RANGES = [((0.9, 1.0), (0.75, 1.3333)), ((0.08, 1.0), (3 / 4, 4 / 3)), ((0.5, 0.5), (2.0, 3.0))]


def uniforms_that_torch_draws(
    width: int, height: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> list[float]:
    """The numbers in [0, 1) behind torchvision's next box, drawn as it draws them."""
    uniforms = [0.0] * CROP_UNIFORMS
    for attempt in range(10):
        share, shape = torch.rand(1).item(), torch.rand(1).item()
        uniforms[2 * attempt : 2 * attempt + 2] = [share, shape]
        area = width * height * (scale[0] + share * (scale[1] - scale[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + shape * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            down = torch.randint(0, height - h + 1, (1,)).item()
            across = torch.randint(0, width - w + 1, (1,)).item()
            uniforms[-2:] = [(down + 0.5) / (height - h + 1), (across + 0.5) / (width - w + 1)]
            break
    return uniforms


@pytest.mark.parametrize(("scale", "ratio"), RANGES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_boxes_are_torchvisions_for_the_same_random_numbers(
    width: int, height: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    config = LoaderConfig(crop_scale=scale, crop_ratio=ratio)
    image = torch.empty(1, height, width)
    for seed in range(100):
        torch.manual_seed(seed)
        box = RandomResizedCrop.get_params(image, list(scale), list(ratio))
        expected = Box(top=box[0], left=box[1], height=box[2], width=box[3])
        torch.manual_seed(seed)
        uniforms = uniforms_that_torch_draws(width, height, scale, ratio)
        assert random_box(width, height, uniforms, config) == expected, seed


def test_the_edges_of_the_unit_interval_stay_inside_the_image() -> None:
    most = math.nextafter(1.0, 0.0)
    for config in (LoaderConfig(crop_scale=(0.3, 0.8)), LoaderConfig(transform="square")):
        for width, height in SIZES:
            first = random_box(width, height, [0.0] * CROP_UNIFORMS, config)
            last = random_box(width, height, [most] * CROP_UNIFORMS, config)
            assert min(first.left, first.top) >= 0
            assert last.left + last.width <= width
            assert last.top + last.height <= height


def test_squares_have_the_short_side_and_every_place() -> None:
    config = LoaderConfig(transform="square")
    rng = np.random.default_rng(0)
    boxes = [random_box(13, 10, rng.random(CROP_UNIFORMS).tolist(), config) for _ in range(100)]
    assert {(box.width, box.height, box.top) for box in boxes} == {(10, 10, 0)}
    assert {box.left for box in boxes} == {0, 1, 2, 3}


def test_float32_uniforms_give_the_box_of_their_values() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        uniforms = rng.random(CROP_UNIFORMS, np.float32)
        box = random_box(4000, 3000, uniforms, LoaderConfig())
        assert box == random_box(4000, 3000, [float(u) for u in uniforms], LoaderConfig())


def test_an_aligned_box_keeps_its_place_and_enough_pixels() -> None:
    rng = np.random.default_rng(0)
    factors = set()
    for _ in range(2000):
        width, height = (int(side) for side in rng.integers(200, 3000, 2))
        box = random_box(width, height, rng.random(CROP_UNIFORMS).tolist(), LoaderConfig())
        aligned, factor = aligned_box(box, width, height, 224)
        factors.add(factor)
        if factor == 1:
            assert aligned == box
            continue
        edges = dataclasses.astuple(aligned)
        assert [edge % factor for edge in edges] == [0] * 4
        assert min(aligned.width, aligned.height) >= 224 * factor
        assert aligned.left + aligned.width <= width
        assert aligned.top + aligned.height <= height
        assert abs(aligned.left - box.left) <= factor / 2
        assert abs(aligned.left + aligned.width - box.left - box.width) < factor
    assert factors == {1, 2, 4, 8}


def test_the_centre_is_the_largest_centred_square() -> None:
    assert center_box(30, 20) == Box(left=5, top=0, width=20, height=20)
    assert dataclasses.astuple(center_box(7, 7)) == (0, 0, 7, 7)
