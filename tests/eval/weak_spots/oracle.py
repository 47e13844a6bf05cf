"""Models for the probes: one that knows every answer, and ones that never look."""

import io
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagonal_eval.evalset import EvalSet


def pixels(evalset: EvalSet) -> list[NDArray[np.uint8]]:
    """All pictures, decoded."""
    images = evalset.read(range(len(evalset.keys)))
    return [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]


def blind_accuracy(evalset: EvalSet, prefer: Callable[[str], float]) -> float:
    """Of a model that prefers captions whatever the picture; the first of equals does not win."""
    assert evalset.captions is not None
    right = [prefer(choice[0]) > max(map(prefer, choice[1:])) for choice in evalset.captions]
    return float(np.mean(right))


def right_answers_by_choice(evalset: EvalSet) -> dict[frozenset[str], dict[str, int]]:
    """For each set of captions how often each of them is the right one."""
    assert evalset.captions is not None
    counts: dict[frozenset[str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for choice in evalset.captions:
        counts[frozenset(choice)][choice[0]] += 1
    return counts


def inked(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the page is no longer white."""
    return rgb_HWC.min(axis=2) < 200


def coloured(rgb_HWC: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where the page has this colour, or nearly."""
    return np.abs(rgb_HWC.astype(np.int64) - np.array(colour)).max(axis=2) < 50


def components(mask_HW: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """The centre (x, y) of every connected patch, by filling one after another."""
    left = mask_HW.copy()
    centres = []
    while left.any():
        start = np.argwhere(left)[0]
        stack, patch = [tuple(start)], []
        left[tuple(start)] = False
        while stack:
            y, x = stack.pop()
            patch.append((x, y))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if all(0 <= near[i] < left.shape[i] for i in (0, 1)) and left[near]:
                    left[near] = False
                    stack.append(near)
        centres.append(
            (float(np.mean([x for x, _ in patch])), float(np.mean([y for _, y in patch])))
        )
    return centres
