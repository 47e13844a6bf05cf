import cv2
import numpy as np
import pytest
from tests.data.dedup.small_dataset import picture

from diagonal_data.dedup.pdq import KEPT, SIDE, as_words, pdq


def blurred(values: np.ndarray, window: int) -> np.ndarray:
    """One pass of the box filter over a line, as the description has it: truncated at the ends."""
    after = (window + 2) // 2 - 1
    return np.array(
        [values[max(0, i - window + 1 + after) : i + after + 1].mean() for i in range(len(values))]
    )


def naive_pdq(grey: np.ndarray) -> tuple[str, int]:
    image = grey.astype(float)
    height, width = image.shape
    for _ in range(2):
        image = np.apply_along_axis(blurred, 1, image, (width + 127) // 128)
        image = np.apply_along_axis(blurred, 0, image, (height + 127) // 128)
    at = [[int((i + 0.5) * side / SIDE) for i in range(SIDE)] for side in image.shape]
    small = image[np.ix_(*at)]
    low = np.zeros((KEPT, KEPT))
    waves = [
        [np.cos(np.pi / 2 / SIDE * (k + 1) * (2 * i + 1)) for i in range(SIDE)] for k in range(KEPT)
    ]
    for row, column in np.ndindex(KEPT, KEPT):
        low[row, column] = 2 / SIDE * np.outer(waves[row], waves[column]).ravel() @ small.ravel()
    middle = sorted(low.ravel())[127]
    number = sum(1 << i for i, value in enumerate(low.ravel()) if value > middle)
    steps = [*np.diff(small, axis=0).ravel(), *np.diff(small, axis=1).ravel()]
    return f"{number:064x}", min(100, int(sum(abs(int(s * 100 / 255)) for s in steps) / 90))


@pytest.mark.parametrize("shape", [(64, 64), (256, 192), (300, 511), (37, 90)])
def test_hash_and_quality_are_those_of_the_description(shape: tuple[int, int]) -> None:
    coarse = np.random.default_rng(1).integers(0, 256, (24, 24), dtype=np.uint8)
    grey = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    found = pdq(grey)
    expected, quality = naive_pdq(grey)
    bits = (int(found.hash.hex(), 16) ^ int(expected, 16)).bit_count()
    assert bits <= 2  # coefficients beside the median, which single precision may swap
    assert abs(found.quality - quality) <= 1


def test_a_flat_picture_has_no_quality() -> None:
    assert pdq(np.full((80, 80, 3), 200, np.uint8)).quality == 0


def test_another_size_of_a_picture_is_near_and_another_picture_far() -> None:
    first, larger, other = (pdq(picture(*which)) for which in ((1, 96), (1, 256), (2, 96)))
    words = as_words([first.hash, larger.hash, other.hash])
    assert np.bitwise_count(words[0] ^ words[1]).sum() <= 31
    assert np.bitwise_count(words[0] ^ words[2]).sum() > 80
    assert first.quality >= 50
