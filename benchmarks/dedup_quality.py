"""How many planted copies perceptual hashes find among distinct drawings, and what else they find.

Of `distinct` drawings, `planted` get a copy of every kind. A copy is looked up among all drawings:
its own original within the distance is a hit, any other drawing a false pair. A picture that cannot
be compared (flat, or of low quality) counts as not found. Then the drawings alone are clustered,
as the command does it: whatever it would drop is wrong.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from dedup_corpus import CHANGES, pixels_of, stored_again
from diagonal_data.dedup.clusters import copies
from diagonal_data.dedup.config import PerceptualConfig
from diagonal_data.dedup.duplicates import Colours, near_clusters
from diagonal_data.dedup.near_hashes import NearHashes
from diagonal_data.dedup.pdq import MIN_QUALITY, as_words, pdq
from diagonal_data.dedup.picture_hashes import colours_of
from diagonal_data.phash import is_flat, phash

DISTANCES = {
    "phash": (0, 2, 3, 4, 6, 8),
    "pdq": (16, 31, 36, 40, 48),
    "pdq and colours": (16, 31, 36, 40, 48),
}
Found = tuple[int, bytes, int, bytes]
FREE = ("resize", "jpeg q30", "watermark")
"""Kinds that leave the geometry as it is."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """Hashes of pictures, N×W words, and which of them may be compared."""

    words: np.ndarray
    comparable: np.ndarray
    cells: np.ndarray | None = None
    """Colours, where they count."""


def all_hashes(content: bytes) -> Found:
    """Of a stored picture: phash, PDQ, its quality, and colours."""
    pixels = pixels_of(content)
    found = pdq(pixels)
    return phash(pixels), found.hash, found.quality, colours_of(pixels)


def changed_hashes(kind: str, numbered: tuple[int, bytes]) -> Found:
    """`all_hashes` of a planted copy."""
    number, content = numbered
    rng = np.random.default_rng([number, *kind.encode()])
    return all_hashes(stored_again(CHANGES[kind](pixels_of(content), rng)))


def hashed(found: Sequence[Found]) -> dict[str, Hashed]:
    """By name of the hash."""
    short, long, quality, colours = zip(*found, strict=True)
    hashes = np.array(short, np.uint64)
    plain = Hashed(words=as_words(list(long)), comparable=np.array(quality) >= MIN_QUALITY)
    cells = np.frombuffer(b"".join(colours), np.uint8).reshape(len(found), -1)
    return {
        "phash": Hashed(words=hashes[:, None], comparable=~is_flat(hashes)),
        "pdq": plain,
        "pdq and colours": replace(plain, cells=cells),
    }


def colours_in(*parts: Hashed) -> Colours | None:
    """The colours of all rows, if they count."""
    cells = [part.cells for part in parts if part.cells is not None]
    most = PerceptualConfig(dataset="").max_colour_difference
    return Colours(cells=np.concatenate(cells), max_difference=most) if cells else None


def measure(contents: list[bytes], planted: int, processes: int) -> dict[str, Any]:
    """Hits, false pairs and wrongly dropped drawings of each hash at several distances."""
    chosen = list(enumerate(contents[:planted]))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        originals = hashed(list(pool.map(all_hashes, contents, chunksize=64)))
        changed = {
            kind: hashed(list(pool.map(partial(changed_hashes, kind), chosen, chunksize=64)))
            for kind in CHANGES
        }
    return {
        name: {
            "comparable": float(originals[name].comparable.mean()),
            "kinds": {
                kind: looked_up(originals[name], changed[kind][name], DISTANCES[name])
                for kind in CHANGES
            },
            "taken_for_copies": {
                str(distance): taken_for_copies(originals[name], distance)
                for distance in DISTANCES[name]
            },
        }
        for name in DISTANCES
    }


def looked_up(originals: Hashed, changed: Hashed, distances: Sequence[int]) -> dict[str, Any]:
    """Hits and false pairs by distance; copy i is of original i."""
    ours, theirs = np.flatnonzero(changed.comparable), np.flatnonzero(originals.comparable)
    near = NearHashes(originals.words[theirs], max(distances))
    pairs: dict[tuple[int, int], int] = {}
    colours = colours_in(originals, changed)
    for left, right, bits in near.pairs_with(changed.words[ours]):
        first, second = theirs[right], ours[left]
        alike = colours.alike(first, len(originals.words) + second) if colours else slice(None)
        rows = zip(second[alike].tolist(), first[alike].tolist(), strict=True)
        pairs.update(zip(rows, bits[alike].tolist(), strict=True))
    table = np.array([(i, j, bits) for (i, j), bits in pairs.items()]).reshape(-1, 3)
    is_own = table[:, 0] == table[:, 1]
    result = {}
    for distance in distances:
        close = table[:, 2] <= distance
        hits, wrong = int((close & is_own).sum()), int((close & ~is_own).sum())
        result[str(distance)] = {
            "planted": len(changed.words),
            "hits": hits,
            "false_pairs": wrong,
            "recall": hits / len(changed.words),
            "precision": hits / max(hits + wrong, 1),
        }
    return result


def taken_for_copies(originals: Hashed, distance: int) -> float:
    """The share of distinct drawings that the command would call copies, chains included."""
    colours = colours_in(originals)
    clusters = near_clusters(originals.words, originals.comparable, distance, colours)
    return float(copies(clusters, np.zeros(len(clusters))).mean())
