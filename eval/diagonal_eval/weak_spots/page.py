"""A white page, things put on it, and the set that such pages make.

Everything is drawn by dice of (seed, probe, round): more pictures leave the first ones as they are.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from PIL import Image

from diagonal_eval.dataset import content_digest
from diagonal_eval.evalset import EvalSet
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_infra.errors import UserError

WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A picture and the captions to choose from, the right one first.

    In a group `pair` two pictures have each other's right caption as their wrong one, so that the
    suite can also ask which of the two pictures a caption is of (Winoground: Thrush et al., 2022).
    """

    picture: Image.Image
    captions: tuple[str, ...]
    groups: Mapping[str, str] = field(default_factory=dict)


def dice_of_rounds(config: WeakSpotConfig, name: str, options: int) -> Iterator[Random]:
    """Dice for as many rounds as give the wanted number of pictures, one picture per option.

    Raises:
        UserError: fewer pictures are wanted than there are options.
    """
    rounds = config.num_pictures // options
    if rounds == 0:
        raise UserError(
            f"{name} offers {options} answers and shows each in turn: "
            f"--num-pictures must be at least {options}, got {config.num_pictures}"
        )
    for number in range(rounds):
        yield Random(f"{config.seed} {name} {number}")


def blank(side: int) -> Image.Image:
    """An empty page."""
    return Image.new("RGBA", (side, side), WHITE)


def put(page: Image.Image, look: Image.Image, centre: tuple[float, float], size: float) -> None:
    """Draw it around the centre, its longer side `size` pixels long."""
    scale = size / max(look.size)
    width, height = (max(1, round(length * scale)) for length in look.size)
    small = look.resize((width, height), Image.Resampling.LANCZOS)
    corner = (round(centre[0] - width / 2), round(centre[1] - height / 2))
    page.alpha_composite(small, (max(0, corner[0]), max(0, corner[1])))


def encode(page: Image.Image) -> bytes:
    """The page as PNG."""
    content = io.BytesIO()
    page.convert("RGB").save(content, "PNG", compress_level=3)
    return content.getvalue()


def selection_set(name: str, questions: Iterable[Question]) -> EvalSet:
    """The set of a probe that asks for the right caption; all questions have equally many."""
    pictures, digests, captions, groups = [], [], [], []
    for question in questions:
        pictures.append(encode(question.picture))
        digests.append(pixels_digest(question.picture))
        captions.append(question.captions)
        groups.append(question.groups)
    texts = ["\n".join(choice) for choice in captions]
    return EvalSet(
        name=name,
        split="test",
        kind="selection",
        keys=numbered(len(pictures)),
        digest=content_digest(*digests, *texts),
        read=reader(pictures),
        captions=tuple(captions),
        groups={attribute: tuple(one[attribute] for one in groups) for attribute in groups[0]},
        metric="text_acc",
    )


def classification_set(
    name: str,
    pictures: Sequence[Image.Image],
    labels: Sequence[int],
    *,
    class_names: Sequence[str],
    templates: Sequence[str],
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> EvalSet:
    """The set of a probe with fixed classes."""
    digests = [pixels_digest(picture) for picture in pictures]
    return EvalSet(
        name=name,
        split="test",
        kind="classification",
        keys=numbered(len(pictures)),
        digest=content_digest(*digests, *map(str, labels), *class_names),
        read=reader([encode(picture) for picture in pictures]),
        class_names=tuple(class_names),
        templates=tuple(templates),
        labels_N=np.array(labels, dtype=np.int64),
        groups=dict(groups or {}),
    )


def pixels_digest(picture: Image.Image) -> str:
    """Of the pixels, so that another build of zlib changes nothing."""
    return content_digest(picture.convert("RGB").tobytes(), str(picture.size))


def numbered(count: int) -> tuple[str, ...]:
    """Keys of pictures that have no names."""
    return tuple(f"{number:05d}" for number in range(count))


def reader(pictures: Sequence[bytes]) -> Callable[[Sequence[int]], Iterator[bytes]]:
    """What an `EvalSet` reads its pictures with; they stay in memory."""
    return lambda rows: (pictures[row] for row in rows)
