"""A corpus of image files as the web has them, from photographs of Debian and scikit-image.

    crop of a photograph → size drawn → mirrored, brighter or darker → noise → encoded

80 % JPEG (30 % progressive, 25 % 4:4:4, 3 % with an EXIF orientation, 2 % grey), 12 % PNG (30 %
with alpha, 10 % palette), 8 % WebP. The long side is log-normal with median 880, so that the median
picture is about 800×600. The noise matters: smooth pictures would decode too cheaply. Picture i
follows from (seed, i) alone, and files that are there are not made again, so a corpus can grow.

The `refused` corpus is what a user's limits keep out, half of it too small (short side 60–199) and
half too wide (aspect 3.5–6).
"""

import importlib.util
import io
import json
import math
import multiprocessing
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diagonal_infra.errors import UserError

BACKGROUNDS = Path("/usr/share/backgrounds")
PACKAGES = "mate-backgrounds ukui-wallpapers lomiri-wallpapers-20.04"
PHOTOGRAPHS = frozenset(
    {
        # scikit-image
        *("astronaut", "chelsea", "coffee", "hubble_deep_field", "motorcycle_left", "rocket"),
        # mate-backgrounds
        *("Aqua", "Dune", "Elephants", "FreshFlower", "Garden", "GreenMeadow", "LadyBird"),
        *("RainDrops", "Storm", "TwoWings", "Wood", "YellowFlower"),
        # ukui-wallpapers
        *("calla", "firstgeneration", "rhythm", "string", "the-mouse"),
        # lomiri-wallpapers-20.04
        *("Fossa_by_Jasper_Roks", "Infinite-Sea_by_Aury88", "Kleiber_by_Lukas_Baubkus"),
        "Painting-Colors_by__herobrine7gamer",
    }
)
"""File names without ending; drawings and flat wallpapers are left out: they compress too well."""
MIN_SIDE, MAX_ASPECT = 200, 3.0
"""The limits that the usual corpus passes and the refused one fails."""
SEED = 20_26
PROCESSES = 2
SHAPES = (4 / 3, 4 / 3, 3 / 2, 5 / 4, 16 / 9, 1.0)
QUALITIES = (75, 80, 82, 85, 85, 88, 90, 92, 95)


@dataclass(frozen=True, kw_only=True)
class CorpusImage:
    """One file: its name, what kind of file it is, width, height and length."""

    name: str
    kind: str
    width: int
    height: int
    size_bytes: int
    turned: bool
    """Has an EXIF orientation other than upright."""


def ensure_corpus(folder: Path, count: int, *, refused: bool = False) -> list[CorpusImage]:
    """The first `count` images, made where they are missing; `folder` keeps files and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.json"
    known = [CorpusImage(**row) for row in json.loads(index.read_text())] if index.is_file() else []
    if len(known) < count:
        make = partial(_make_image, folder=folder, refused=refused, photographs=photograph_paths())
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            known += pool.map(make, range(len(known), count), chunksize=8)
        aside = index.with_suffix(".partial")
        aside.write_text(json.dumps([asdict(image) for image in known]))
        aside.replace(index)
    return known[:count]


def statistics_of(images: Sequence[CorpusImage]) -> dict[str, Any]:
    """What the table says about a corpus."""
    formats = [image.kind.partition("-")[0] for image in images]
    jpegs = [image for image in images if image.kind.startswith("jpeg")]
    progressive = sum("progressive" in image.kind for image in jpegs)
    return {
        "images": len(images),
        "shares": {kind: round(formats.count(kind) / len(images), 3) for kind in set(formats)},
        "progressive_share_of_jpeg": round(progressive / max(1, len(jpegs)), 3),
        "median_width": statistics.median(image.width for image in images),
        "median_height": statistics.median(image.height for image in images),
        "median_kilobytes": round(statistics.median(i.size_bytes for i in images) / 1e3),
        "mean_kilobytes": round(statistics.mean(i.size_bytes for i in images) / 1e3),
        "mean_megapixels": round(statistics.mean(i.width * i.height for i in images) / 1e6, 3),
    }


def photograph_paths() -> list[Path]:
    """The photographs that this machine has.

    Raises:
        UserError: too few to make a corpus of.
    """
    folders = [BACKGROUNDS]
    spec = importlib.util.find_spec("skimage")
    if spec and spec.origin:
        folders.append(Path(spec.origin).parent / "data")
    found = [path for folder in folders for path in folder.rglob("*.*") if _is_photograph(path)]
    if len(found) < 8:
        raise UserError(
            f"{len(found)} photographs under {' and '.join(map(str, folders))} are too few for a "
            f"corpus; install Debian's {PACKAGES}"
        )
    return sorted(found, key=lambda path: path.name)


def _is_photograph(path: Path) -> bool:
    return path.stem in PHOTOGRAPHS and path.suffix in (".jpg", ".jpeg", ".png")


@cache
def read_photograph(path: Path) -> Image.Image:
    """A photograph, at most 4,000 pixels wide and high."""
    with Image.open(path) as image:
        image.draft("RGB", (2500, 2500))
        photograph = image.convert("RGB")
    photograph.thumbnail((4000, 4000))
    return photograph


def _make_image(
    index: int, folder: Path, refused: bool, photographs: Sequence[Path]
) -> CorpusImage:
    dice = random.Random(f"{SEED} {refused} {index}")
    width, height = _refused_size(dice) if refused else _usual_size(dice)
    pixels = cut_pixels(read_photograph(dice.choice(photographs)), dice, width, height)
    content, kind, turned = _encoded(pixels, dice)
    ending = {"jpeg": "jpg"}.get(kind.partition("-")[0], kind.partition("-")[0])
    name = f"{index:06d}.{ending}"
    (folder / name).write_bytes(content)
    return CorpusImage(
        name=name, kind=kind, width=width, height=height, size_bytes=len(content), turned=turned
    )


def _long_side(dice: random.Random) -> int:
    return round(min(2500, max(300, dice.lognormvariate(math.log(880), 0.45))))


def _usual_size(dice: random.Random) -> tuple[int, int]:
    long_side = _long_side(dice)
    short_side = max(MIN_SIDE, min(1800, round(long_side / dice.choice(SHAPES))))
    upright = dice.random() < 0.3 and long_side <= 1800
    return (short_side, long_side) if upright else (long_side, short_side)


def _refused_size(dice: random.Random) -> tuple[int, int]:
    if dice.random() < 0.5:
        short_side = dice.randint(60, MIN_SIDE - 1)
        return round(short_side * dice.choice(SHAPES)), short_side
    long_side = min(2500, 2 * _long_side(dice))
    return long_side, max(MIN_SIDE // 2, round(long_side / dice.uniform(3.5, 6.0)))


def cut_pixels(
    photograph: Image.Image, dice: random.Random, width: int, height: int
) -> Image.Image:
    """A random part of a photograph in the size asked for, with a sensor's noise."""
    largest = min(photograph.width / width, photograph.height / height)
    scale = largest * dice.uniform(0.45, 1.0)
    crop = max(1, int(width * scale)), max(1, int(height * scale))
    left = dice.randint(0, photograph.width - crop[0])
    top = dice.randint(0, photograph.height - crop[1])
    box = (left, top, left + crop[0], top + crop[1])
    image = photograph.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if dice.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    noise = np.random.default_rng(dice.getrandbits(64))
    values = np.asarray(image, dtype=np.float32) * dice.uniform(0.85, 1.15) + dice.uniform(-8, 8)
    # A sensor's noise: most of it in brightness, some in each colour.
    brightness = noise.standard_normal((height, width, 1), dtype=np.float32)
    colours = noise.standard_normal((height, width, 3), dtype=np.float32)
    values += dice.uniform(1.5, 6.0) * brightness + dice.uniform(0.5, 2.0) * colours
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, dice: random.Random) -> tuple[bytes, str, bool]:
    """The file, its kind, and whether it lies on its side."""
    buffer, share = io.BytesIO(), dice.random()
    if share < 0.80:
        return _as_jpeg(image, dice)
    if share < 0.92:
        image, kind = _png_kind(image, dice)
        image.save(buffer, "PNG", compress_level=6)
        return buffer.getvalue(), kind, False
    image.save(buffer, "WEBP", quality=dice.choice((75, 80, 85)), method=2)
    return buffer.getvalue(), "webp", False


def _as_jpeg(image: Image.Image, dice: random.Random) -> tuple[bytes, str, bool]:
    progressive, turned = dice.random() < 0.30, dice.random() < 0.03
    exif = Image.Exif()
    if turned:
        exif[0x0112] = dice.choice((3, 6, 8))
    if dice.random() < 0.02:
        image = image.convert("L")
    buffer = io.BytesIO()
    image.save(
        buffer,
        "JPEG",
        quality=dice.choice(QUALITIES),
        subsampling=0 if dice.random() < 0.25 else 2,
        progressive=progressive,
        exif=exif,
    )
    return buffer.getvalue(), "jpeg-progressive" if progressive else "jpeg-baseline", turned


def _png_kind(image: Image.Image, dice: random.Random) -> tuple[Image.Image, str]:
    share = dice.random()
    if share < 0.3:
        alpha = Image.new("L", image.size, 255)
        alpha.paste(dice.randrange(255), (0, 0, image.width, max(1, image.height // 5)))
        image.putalpha(alpha)
        return image, "png-alpha"
    if share < 0.4:
        return image.quantize(256), "png-palette"
    return image, "png-rgb"


def captions(count: int) -> list[str]:
    """Captions in the length of alt texts, each another."""
    dice = random.Random(SEED)
    words = "a the old small red quiet photo picture of at near harbour garden dog street in light"
    return [f"{' '.join(dice.choices(words.split(), k=9))} {i}" for i in range(count)]
