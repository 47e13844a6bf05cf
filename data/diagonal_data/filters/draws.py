"""Lots that depend on the seed and the uid alone: not on order, shards or what else is there.

mix(x)                 the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)
draw(seed, uid, salt)  mix(mix(mix(seed + salt) ^ upper half) ^ lower half), 64 bits
"""

import numpy as np

FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SALTS = {name: number for number, name in enumerate(("cap", "sample", "weight"), start=1)}
"""Draws of one uid for different rules are independent."""


def draw(seed: int, halves: np.ndarray, salt: str | np.ndarray) -> np.ndarray:
    """One lot per uid, uint64.

    Args:
        seed: of the recipe.
        halves: N×2 uint64, upper half first.
        salt: a rule's name, or a number per uid, such as the entry that it is drawn for.
    """
    # A rule's number is below 256, an entry's above: no entry draws the lots of a rule.
    number = np.array([SALTS[salt]]) if isinstance(salt, str) else salt << 8
    start = np.array([seed % 2**64], np.uint64) * GOLDEN
    salted = _mix(start + number.astype(np.uint64))
    return _mix(_mix(salted ^ halves[:, 0]) ^ halves[:, 1])


def chance(lots: np.ndarray) -> np.ndarray:
    """Lots as numbers in [0, 1)."""
    return (lots >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))
