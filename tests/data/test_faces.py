import numpy as np
import pytest

from diagonal_data.faces import blur_faces


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


@pytest.mark.parametrize("box", [[0, 0, 1], [0, 0, 1, float("nan")], [0, 0, 1, float("inf")]])
def test_a_box_that_is_none_is_an_error(box: list[float]) -> None:
    with pytest.raises(ValueError, match="face box"):
        blur_faces(noise(), [box])
