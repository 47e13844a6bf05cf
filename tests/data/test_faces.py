import tracemalloc
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from diagonal_data.faces import GROWTH, MAX_BOXES, MAX_SIGMA, SIGMA, blur_faces

# Times the picture that is blurred: more would not be bounded by it.
MOST_MEMORY = 5


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)


def test_a_face_is_blurred_and_the_rest_kept() -> None:
    array = noise()
    blurred = blur_faces(array, [[0.5, 0.3, 0.75, 0.7]])
    assert blurred[40:60, 68:82].std() < array.std() / 4
    assert np.array_equal(blurred[:, :30], array[:, :30])
    assert blurred.dtype == np.uint8


def test_two_faces_are_blurred_and_a_box_beyond_the_picture_is_cut() -> None:
    blurred = blur_faces(noise(), [[-0.5, -0.5, 0.3, 0.3], [0.7, 0.7, 1.5, 1.5]])
    assert max(blurred[:20, :20].std(), blurred[80:, 100:].std()) < 40


def test_no_box_and_an_empty_box_change_nothing() -> None:
    array = noise()
    assert blur_faces(array, []) is array
    assert blur_faces(array, [[0.5, 0.5, 0.5, 0.5]]) is array


def blurred_at_once(array: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """The plain way: the whole picture, at its own size."""
    height, width = array.shape[:2]
    sides = [max((b[2] - b[0]) * width, (b[3] - b[1]) * height) for b in boxes]
    mask = np.zeros((height, width), np.float32)
    for box, side in zip(boxes, sides, strict=True):
        corners = np.array(box) * (width, height, width, height)
        grown = corners + GROWTH * side * np.array([-1, -1, 1, 1])
        left, top, right, bottom = np.rint(grown.clip(0, (width, height) * 2)).astype(int)
        mask[top:bottom, left:right] = 1
    sigma = SIGMA * max(sides)
    size = 2 * int(np.ceil(4 * sigma)) + 1
    soft = cv2.GaussianBlur(mask, (size, size), sigma)[:, :, None]
    return array + (cv2.GaussianBlur(array, (size, size), sigma).astype(float) - array) * soft


@pytest.mark.parametrize(
    "boxes",
    [
        [[0.1, 0.1, 0.15, 0.15]],
        [[0.1, 0.1, 0.15, 0.15], [0.9, 0.8, 0.96, 0.9]],
        [[0.25, 0.2, 0.7, 0.8]],
        [[0, 0, 1, 1]],
        [[0.1, 0.1, 0.3, 0.5], [0.15, 0.2, 0.2, 0.3], [0.8, 0.8, 0.99, 0.99]],
    ],
)
def test_parts_and_reduced_copies_look_like_the_whole(boxes: list[list[float]]) -> None:
    array = cv2.resize(noise(), (500, 400), interpolation=cv2.INTER_CUBIC)
    assert SIGMA * 0.05 * 500 < MAX_SIGMA < SIGMA * 0.3 * 400
    difference = np.abs(blur_faces(array, boxes) - blurred_at_once(array, boxes))
    assert difference.mean() < 0.5
    assert difference.max() < 12


@pytest.mark.parametrize("side", [0.005, 0.5])
def test_memory_is_a_few_times_the_picture(side: float) -> None:
    array = np.zeros((3000, 3000, 3), np.uint8)
    tracemalloc.start()
    blur_faces(array, [[0.1, 0.1, 0.1 + side, 0.1 + side]])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MOST_MEMORY * array.nbytes


def test_many_boxes_are_an_error() -> None:
    box = [0.1, 0.1, 0.2, 0.2]
    assert not np.array_equal(blur_faces(noise(), MAX_BOXES * [box]), noise())
    with pytest.raises(ValueError, match="201 face boxes"):
        blur_faces(noise(), (MAX_BOXES + 1) * [box])


@pytest.mark.parametrize(
    "box",
    [[0, 0, 1], [0, 0, 1, float("nan")], [0, 0, 1, float("inf")], [0.7, 0.2, 0.3, 0.4]],
)
def test_a_box_that_is_none_is_an_error(box: list[float]) -> None:
    with pytest.raises(ValueError, match="face box"):
        blur_faces(noise(), [box])
