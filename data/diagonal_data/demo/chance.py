"""Choices that look random and never change: made by hash, so two builds of the demo are alike."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")


def fraction(*words: str) -> float:
    """A number in [0, 1) that depends on the words and nothing else."""
    digest = hashlib.blake2b("\n".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def choose(options: Sequence[tuple[Option, float]], *words: str) -> Option:
    """One of the (option, weight) pairs' options, by weight and by the words."""
    left = fraction(*words) * sum(weight for _, weight in options)
    for option, weight in options:
        left -= weight
        if left < 0:
            return option
    return options[-1][0]
