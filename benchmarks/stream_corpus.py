"""Shards of real pictures with captions, as any CLIP trainer reads them.

    photographs ─► pictures/256px/000000.jpg …  cut, noised, shrunk, JPEG quality 95
                ─► sets/256px-40x500/00000.tar … KEY.jpg KEY.txt KEY.json, pictures in turn

The photographs are fetch_corpus.py's. Picture i follows from (seed, short side, i) alone, caption i
from (seed, i). What is there is not made again. A set may be larger than its pictures: then these
come again under other keys, which the programs cannot see.
"""

import json
import multiprocessing
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from PIL import Image

import fetch_corpus
from diagonal_data.tar import Sample, TarWriter

QUALITY = 95
SEED = fetch_corpus.SEED
CUT_SCALE = {256: 1.5, 512: 1.5, 1024: 1.25}
"""Size of the cut to the size kept: shrinking softens its noise as a download tool would."""
SUBJECTS = (
    *("a red bicycle", "the old harbour", "two brown dogs", "a bowl of soup", "wild flowers"),
    *("the city hall", "a wooden boat", "snowy mountains", "my grandmother", "a steam locomotive"),
)
PLACES = (
    *("in the morning light", "near the river", "on a quiet street", "seen from above"),
    *("at the edge of the forest", "behind our house", "during the summer festival"),
)
ADDITIONS = (
    *("painted by a local artist", "with a view of the sea", "before the rain came down"),
    *("and some friends", "for sale", "photographed with a long exposure"),
)
ODDITIES = ("– São Paulo", "&amp; more", "(2019)", "IMG_4032.jpg", '"d\'été"', "東京")
ODD_SHARE = 0.15
"""Of captions with signs that a tokenizer must clean or spell out in bytes."""


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """A folder of tars, all of the same number of samples."""

    folder: Path
    shards: int
    samples_per_shard: int
    mean_bytes: int
    """Of a picture."""

    @property
    def pattern(self) -> str:
        """Brace pattern of the tars."""
        return f"{self.folder.resolve()}/{{00000..{self.shards - 1:05d}}}.tar"

    @property
    def paths(self) -> list[Path]:
        """The tars in order."""
        return [self.folder / f"{shard:05d}.tar" for shard in range(self.shards)]

    @property
    def samples(self) -> int:
        """In all shards together."""
        return self.shards * self.samples_per_shard


def caption(number: int) -> str:
    """A caption of about 10 to 17 tokens."""
    dice = random.Random(f"{SEED} caption {number}")
    words = [dice.choice(part) for part in (SUBJECTS, PLACES, ADDITIONS)]
    if dice.random() < ODD_SHARE:
        words.insert(dice.randrange(4), dice.choice(ODDITIES))
    return " ".join(words)


def ensure_set(
    work: Path,
    *,
    short_side: int,
    pictures: int,
    shards: int,
    samples_per_shard: int,
    captions: Callable[[int], str] = caption,
) -> ShardSet:
    """The set of that shape and those captions, by sample; made if it is not there."""
    name = f"{short_side}px-{shards}x{samples_per_shard}-of-{pictures}"
    if captions is not caption:
        name += f"-{captions.__name__}"
    folder = work / "sets" / name
    described = folder / "set.json"
    if not described.is_file():
        paths = ensure_pictures(work / "pictures" / f"{short_side}px", short_side, pictures)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for shard in range(shards):
            numbers = range(shard * samples_per_shard, (shard + 1) * samples_per_shard)
            _write_shard(folder / f"{shard:05d}.tar", paths, numbers, captions)
        mean_bytes = round(sum(path.stat().st_size for path in paths) / len(paths))
        shape = {"shards": shards, "samples_per_shard": samples_per_shard}
        described.write_text(json.dumps({**shape, "mean_bytes": mean_bytes}))
    return ShardSet(folder=folder, **json.loads(described.read_text()))


def ensure_pictures(folder: Path, short_side: int, count: int) -> list[Path]:
    """Files of the first `count` pictures, made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    if missing:
        photographs = fetch_corpus.photograph_paths()
        make = partial(_make_picture, folder=folder, short_side=short_side, photographs=photographs)
        with multiprocessing.get_context("spawn").Pool(fetch_corpus.PROCESSES) as pool:
            pool.map(make, missing, chunksize=8)
    return paths


def _make_picture(number: int, folder: Path, short_side: int, photographs: Sequence[Path]) -> None:
    dice = random.Random(f"{SEED} {short_side} {number}")
    photograph = fetch_corpus.read_photograph(dice.choice(photographs))
    shape = dice.choice(fetch_corpus.SHAPES)
    size = [round(short_side * shape), short_side]
    if dice.random() < 0.3:
        size.reverse()
    cut = [round(side * CUT_SCALE[short_side]) for side in size]
    pixels = fetch_corpus.cut_pixels(photograph, dice, cut[0], cut[1])
    picture = pixels.resize((size[0], size[1]), Image.Resampling.BOX)
    aside = folder / f"{number:06d}.partial"
    picture.save(aside, "JPEG", quality=QUALITY)
    aside.replace(aside.with_suffix(".jpg"))


def _write_shard(
    path: Path, pictures: Sequence[Path], numbers: range, captions: Callable[[int], str]
) -> None:
    with path.open("wb") as file:
        writer = TarWriter(file)
        for number in numbers:
            words = captions(number)
            about = json.dumps({"key": f"{number:09d}", "caption": words, "status": "success"})
            members = {
                "jpg": pictures[number % len(pictures)].read_bytes(),
                "txt": words.encode(),
                "json": about.encode(),
            }
            writer.add(Sample(key=f"{number:09d}", members=members))
        writer.close()


def describe(shards: ShardSet) -> dict[str, int | str]:
    """What the table says about a set."""
    return {**asdict(shards), "folder": shards.folder.name, "samples": shards.samples}
