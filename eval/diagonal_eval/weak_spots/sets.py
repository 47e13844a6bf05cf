"""Every probe by its name; each is made in seconds and gives the same bytes for the same seed.

Names with -drawings show the demo's held-out drawings, weak/skin-tone the demo's packages; the
others need nothing but Pillow. Without what it needs a probe raises `AbsentSetError`.

    name                      kind            chance
    weak/counting[-drawings]  selection       1/6
    weak/spatial[-drawings]   selection       1/4
    weak/order[-drawings]     selection       1/2
    weak/binding[-drawings]   selection       1/2
    weak/text                 selection       1/8
    weak/typographic[-drawings][-clean]
                              selection       1/2
    weak/wording[-drawings]   classification  1/6; 1/things
    weak/skin-tone            classification  1/concepts
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.binding import ColouredThing, binding
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.counting import counting
from diagonal_eval.weak_spots.drawings import cut_out, drawn_things, tinted
from diagonal_eval.weak_spots.skin_tone import skin_tone
from diagonal_eval.weak_spots.spatial import order, spatial
from diagonal_eval.weak_spots.things import COLOURS, SHAPES, Thing, draw_shape, shape_things
from diagonal_eval.weak_spots.wording import wording
from diagonal_eval.weak_spots.written import text, typographic

Probe = Callable[[WeakSpotConfig, Sequence[Thing], str], EvalSet]
MakeSet = Callable[[WeakSpotConfig], EvalSet]


def _of_shapes(probe: Probe, name: str, config: WeakSpotConfig) -> EvalSet:
    return probe(config, shape_things(), name)


def _of_drawings(probe: Probe, name: str, config: WeakSpotConfig) -> EvalSet:
    return probe(config, drawn_things(config), name)


def _bound_shapes(config: WeakSpotConfig) -> EvalSet:
    things = [
        ColouredThing(
            noun=shape,
            looks={name: (draw_shape(shape, colour),) for name, colour in COLOURS.items()},
        )
        for shape in SHAPES
    ]
    return binding(config, things, "weak/binding")


def _bound_drawings(config: WeakSpotConfig) -> EvalSet:
    """Black is left out: it is no hue, and a drawing has black lines anyway."""
    things = []
    for thing in drawn_things(config):
        looks = [cut_out(look) for look in thing.looks]
        hues = {name: colour for name, colour in COLOURS.items() if name != "black"}
        in_hues = {
            name: tuple(tinted(look, colour) for look in looks) for name, colour in hues.items()
        }
        things.append(ColouredThing(noun=thing.noun, looks=in_hues))
    return binding(config, things, "weak/binding-drawings")


def _both(name: str, probe: Probe, suffix: str = "") -> dict[str, MakeSet]:
    shapes, drawings = f"weak/{name}{suffix}", f"weak/{name}-drawings{suffix}"
    return {
        shapes: partial(_of_shapes, probe, shapes),
        drawings: partial(_of_drawings, probe, drawings),
    }


WEAK_SPOTS: Mapping[str, MakeSet] = {
    **_both("counting", counting),
    **_both("spatial", spatial),
    **_both("order", order),
    "weak/binding": _bound_shapes,
    "weak/binding-drawings": _bound_drawings,
    "weak/text": partial(text, name="weak/text"),
    **_both("typographic", partial(typographic, written=True)),
    **_both("typographic", partial(typographic, written=False), "-clean"),
    **_both("wording", wording),
    "weak/skin-tone": partial(skin_tone, name="weak/skin-tone"),
}
"""Functions of a `WeakSpotConfig`."""
