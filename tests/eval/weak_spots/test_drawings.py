import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.drawings import (
    NOUNS,
    PLURALS,
    cut_out,
    drawn_things,
    on_white,
    tinted,
)
from diagonal_infra.errors import UserError


def drawing(background: str, *, hole: bool = False) -> Image.Image:
    image = Image.new("RGB", (60, 40), background)
    painter = ImageDraw.Draw(image)
    painter.rectangle((20, 10, 39, 29), fill="#802020")
    if hole:
        painter.rectangle((25, 15, 34, 24), fill="white")
    return image


def encoded(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_a_drawing_on_white_is_cut_to_what_is_there() -> None:
    look = on_white(encoded(drawing("white")))
    assert look is not None
    assert look.size == (20, 20)


@pytest.mark.parametrize("image", [drawing("#ffd54f"), Image.new("RGB", (9, 9), "white")])
def test_another_background_or_nothing_at_all_is_not_used(image: Image.Image) -> None:
    assert on_white(encoded(image)) is None


def test_white_inside_stays_and_white_outside_goes() -> None:
    alpha_HW = np.asarray(cut_out(drawing("white", hole=True)).getchannel("A"))
    assert (alpha_HW > 0).sum() == 400


def test_a_tint_has_the_hue_and_keeps_the_outline() -> None:
    cut = cut_out(drawing("white", hole=True))
    blue = np.asarray(tinted(cut, (30, 70, 220)))
    assert (blue[..., 3] == np.asarray(cut)[..., 3]).all()
    inside = blue[blue[..., 3] > 0].astype(int)
    assert (inside[:, 2] > 2 * inside[:, 0]).all()
    assert np.ptp(inside[:, 2]) > 50, "light and dark are told apart"


def test_names_can_be_counted() -> None:
    assert set(PLURALS) <= set(NOUNS.values())
    assert len(set(NOUNS.values())) == len(NOUNS)


def test_held_out_drawings_of_simple_seen_things_on_white_are_found(
    small_demo: WeakSpotConfig,
) -> None:
    looks = {thing.noun: len(thing.looks) for thing in drawn_things(small_demo)}
    assert looks == {
        **dict.fromkeys(("anchor", "apple", "banana", "dog", "egg", "frog", "ghost", "key"), 2),
        "cat": 1,
    }


def test_looks_are_those_of_the_held_out_styles(small_demo: WeakSpotConfig) -> None:
    (apple,) = (thing for thing in drawn_things(small_demo) if thing.noun == "apple")
    assert [look.size for look in apple.looks] == [(32, 21), (32, 31)]
    assert (apple.one, apple.plural) == ("an apple", "apples")


def test_a_dataset_without_simple_things_is_refused(tiny_world, tmp_path: Path) -> None:
    config = WeakSpotConfig(data=tiny_world.dataset, labels=tiny_world.labels)
    with pytest.raises(UserError, match=r"make demo|held-out"):
        drawn_things(config)
