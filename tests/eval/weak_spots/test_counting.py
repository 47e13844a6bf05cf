import pytest
from tests.eval.weak_spots.oracle import components, inked, pixels

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.counting import NUMBERS
from diagonal_eval.weak_spots.sets import WEAK_SPOTS


@pytest.fixture(scope="module")
def evalset() -> EvalSet:
    return WEAK_SPOTS["weak/counting"](WeakSpotConfig(num_pictures=65, side=128))


def test_there_are_as_many_things_as_the_caption_says(evalset: EvalSet) -> None:
    assert evalset.captions is not None
    counted = [NUMBERS[len(components(inked(page))) - 1] for page in pixels(evalset)]
    assert counted == [choice[0].split()[0] for choice in evalset.captions]
    assert counted == list(evalset.groups["number"])


def test_pictures_are_rounded_down_to_whole_rounds(evalset: EvalSet) -> None:
    assert len(evalset.keys) == 60
    assert list(evalset.groups["number"]) == list(NUMBERS) * 10


def test_captions_are_grammatical(evalset: EvalSet) -> None:
    assert evalset.captions is not None
    texts = {text for choice in evalset.captions for text in choice}
    assert "one cross" in texts
    assert "two crosses" in texts
    assert all(text.endswith("s") for text in texts if not text.startswith("one "))


def test_the_size_does_not_tell_the_number(evalset: EvalSet) -> None:
    ink = [inked(page).sum() / (i % 6 + 1) for i, page in enumerate(pixels(evalset))]
    one, six = ink[0::6], ink[5::6]
    assert min(one) < max(six)
    assert min(six) < max(one)
