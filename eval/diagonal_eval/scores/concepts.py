"""Metadata entries in captions, as MetaCLIP matches them (Xu et al., 2023, arXiv:2309.16671).

The rule: the caption gets a blank at both ends and around each of , . ; : ? ! ` and blanks for tabs
and line ends; an entry matches if ` entry ` stands in it, case and all. So entries are runs of
whole words between single blanks, and looking the runs up in a table finds exactly what searching
for each of the 500,000 texts would.
"""

import json
import re
from collections.abc import Sequence

from diagonal_eval.dataset import content_digest
from diagonal_infra import storage
from diagonal_infra.errors import UserError

WRAPPED = re.compile(r"[,.;:?!`]")
BLANKS = re.compile(r"[\t\n\r]")


class Concepts:
    """A list of entries, which are known by their places in it."""

    def __init__(self, entries: Sequence[str]) -> None:
        self.digest = content_digest(*entries)
        self._place: dict[tuple[str, ...], int] = {}
        self._lengths: dict[str, list[int]] = {}
        """Numbers of words of the entries with this first word."""
        for place, entry in enumerate(entries):
            words = tuple(entry.split(" "))
            if entry:
                self._place.setdefault(words, place)
                lengths = self._lengths.setdefault(words[0], [])
                if len(words) not in lengths:
                    lengths.append(len(words))

    def matches(self, caption: str) -> list[int]:
        """Places of the entries that stand in a caption, in rising order, each once."""
        words = spaced(caption)[1:-1].split(" ")
        found = {
            place
            for start, word in enumerate(words)
            for length in self._lengths.get(word, ())
            if (place := self._place.get(tuple(words[start : start + length]))) is not None
        }
        return sorted(found)


def spaced(caption: str) -> str:
    """MetaCLIP's `spacing`: what ` entry ` is searched in."""
    return BLANKS.sub(" ", WRAPPED.sub(lambda match: f" {match[0]} ", f" {caption} "))


def read_concepts(path: str) -> Concepts:
    """The entries of a JSON list of texts, or of a text file with one a line; repeats count once.

    Raises:
        UserError: there is no such file, or it holds no entries.
    """
    if not storage.exists(path):
        raise UserError(f"--concepts {path}: there is no such file")
    try:
        text = storage.read_bytes(path).decode()
        entries = json.loads(text) if path.endswith(".json") else text.splitlines()
    except ValueError as error:
        raise UserError(f"--concepts {path} is no UTF-8 text or JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"--concepts {path} must be a JSON list of texts")
    if not any(entries):
        raise UserError(f"--concepts {path} holds no entries")
    return Concepts(entries)
