import dataclasses
import functools
import hashlib

import pytest
from tests.eval.weak_spots.oracle import (
    blind_accuracy,
    components,
    inked,
    pixels,
    right_answers_by_choice,
)

from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_infra.errors import UserError

OFFLINE = [
    *("weak/counting", "weak/spatial", "weak/order", "weak/binding", "weak/text"),
    *("weak/typographic", "weak/typographic-clean"),
]
CONFIG = WeakSpotConfig(num_pictures=48, side=96)
CHANCE = {"weak/counting": 1 / 6, "weak/spatial": 1 / 4, "weak/text": 1 / 8}


@functools.cache
def built(name: str) -> EvalSet:
    return WEAK_SPOTS[name](CONFIG)


def letters(text: str) -> float:
    """A taste in captions that has nothing to do with pictures."""
    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big"))


@pytest.mark.parametrize("name", OFFLINE)
def test_every_caption_of_a_choice_is_right_equally_often(name: str) -> None:
    for captions, counts in right_answers_by_choice(built(name)).items():
        assert counts.keys() == captions
        assert len(set(counts.values())) == 1


@pytest.mark.parametrize("name", OFFLINE)
def test_whoever_does_not_look_is_right_as_often_as_chance(name: str) -> None:
    evalset = built(name)
    chance = CHANCE.get(name, 1 / 2)
    for taste in (letters, lambda text: -letters(text), lambda text: letters(text[::-1])):
        assert blind_accuracy(evalset, taste) == pytest.approx(chance)


@pytest.mark.parametrize("name", OFFLINE)
def test_captions_of_a_choice_differ_and_equals_do_not_win(name: str) -> None:
    evalset = built(name)
    assert evalset.captions is not None
    assert evalset.metric == "text_acc"
    assert all(len(set(choice)) == len(choice) for choice in evalset.captions)
    assert blind_accuracy(evalset, lambda _: 1.0) == 0.0


@pytest.mark.parametrize(
    "name", ["weak/order", "weak/binding", "weak/typographic", "weak/typographic-clean"]
)
def test_pictures_of_a_pair_have_each_others_captions(name: str) -> None:
    evalset = built(name)
    assert evalset.captions is not None
    pairs = evalset.groups["pair"]
    assert pairs[::2] == pairs[1::2]
    assert len(set(pairs)) == len(pairs) // 2
    for one, other in zip(evalset.captions[::2], evalset.captions[1::2], strict=True):
        assert one == other[::-1]


@pytest.mark.parametrize("name", [*OFFLINE, "weak/wording"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(name: str) -> None:
    one, again = built(name), WEAK_SPOTS[name](CONFIG)
    rows = range(len(one.keys))
    assert list(one.read(rows)) == list(again.read(rows))
    assert one.digest == again.digest
    other = WEAK_SPOTS[name](dataclasses.replace(CONFIG, seed=1))
    assert other.digest != one.digest


def test_more_pictures_leave_the_first_ones_as_they_are() -> None:
    few = built("weak/binding")
    many = WEAK_SPOTS["weak/binding"](dataclasses.replace(CONFIG, num_pictures=60))
    assert list(many.read(range(48))) == list(few.read(range(48)))


def test_pictures_have_the_side_asked_for_and_are_read_in_the_order_given() -> None:
    evalset = WEAK_SPOTS["weak/counting"](WeakSpotConfig(num_pictures=6, side=96))
    assert all(page.shape == (96, 96, 3) for page in pixels(evalset))
    forward, backward = list(evalset.read([0, 5])), list(evalset.read([5, 0]))
    assert forward == backward[::-1]
    assert forward[0] != forward[1]


def test_fewer_pictures_than_answers_are_refused() -> None:
    with pytest.raises(UserError, match="at least 6, got 5"):
        WEAK_SPOTS["weak/counting"](WeakSpotConfig(num_pictures=5))


def test_bad_settings_name_their_flag() -> None:
    with pytest.raises(ValueError, match="--num-pictures"):
        WeakSpotConfig(num_pictures=0)
    with pytest.raises(ValueError, match="--side"):
        WeakSpotConfig(side=32)


@pytest.mark.parametrize("name", [n for n in WEAK_SPOTS if "-drawings" in n or "skin" in n])
def test_without_the_demo_it_is_said_how_to_get_it(name: str) -> None:
    config = WeakSpotConfig(data="nowhere", labels="nowhere", packages="nowhere")
    with pytest.raises(AbsentSetError, match="make demo"):
        WEAK_SPOTS[name](config)


@pytest.mark.parametrize("name", [name for name in WEAK_SPOTS if "-drawings" in name])
def test_drawings_are_asked_about_as_fairly(name: str, small_demo: WeakSpotConfig) -> None:
    evalset = WEAK_SPOTS[name](small_demo)
    assert 32 <= len(evalset.keys) <= 36
    assert all(page.shape == (96, 96, 3) for page in pixels(evalset))
    if evalset.captions is None:
        assert len(evalset.class_names) == 9
    else:
        for captions, counts in right_answers_by_choice(evalset).items():
            assert counts.keys() == captions
            assert len(set(counts.values())) == 1


def test_drawings_are_counted_too(small_demo: WeakSpotConfig) -> None:
    evalset = WEAK_SPOTS["weak/counting-drawings"](small_demo)
    counts = [len(components(inked(page))) for page in pixels(evalset)]
    assert counts == [1, 2, 3, 4, 5, 6] * 6
