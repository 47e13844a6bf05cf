"""Metadata: the entries that captions are matched with and balanced over.

    entries.txt    one a line, for all languages
    entries.json   a list of texts, for all languages
    FOLDER/        en.txt, de.txt, … by the language of the caption; default.txt for all others

An entry is known by its place: the sets stand one after the other, the languages in order, so that
a place names a language too. Captions of a language without a set match nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.candidates.matcher import Matcher
from diagonal_infra import storage
from diagonal_infra.errors import UserError

DEFAULT = "default"
UNSPACED = frozenset({"ja", "zh", "yue", "wuu", "th", "km", "lo", "my", "bo", "dz"})
"""Languages that set no blanks between words: entries match at any character."""


@dataclass(frozen=True, kw_only=True)
class Entries:
    """All entries, known by their places."""

    texts: Sequence[str]
    sets: Mapping[str, range]
    """Places of each language's entries; `DEFAULT` is for languages without their own."""
    digest: str
    """Of texts and languages."""

    def range_for(self, language: str | None) -> range:
        """Places of the entries that captions of a language match."""
        nothing = range(0)
        return self.sets.get(language or DEFAULT, self.sets.get(DEFAULT, nothing))


def read_entries(path: str, flag: str) -> Entries:
    """The entries of a file or folder.

    Args:
        path: of a text file, a JSON list, or a folder of LANG.txt.
        flag: what the messages call it.

    Raises:
        UserError: there is no such file, or it holds no entries.
    """
    names = [name for name in storage.list_files(path) if name.endswith(".txt")]
    if names:
        paths = {name.removesuffix(".txt"): storage.join(path, name) for name in names}
    else:
        paths = {DEFAULT: path}
    texts: list[str] = []
    sets = {}
    digest = hashlib.blake2b(digest_size=16)
    for language, file in paths.items():
        entries = _read_list(file, flag)
        sets[language] = range(len(texts), len(texts) + len(entries))
        texts += entries
        digest.update(json.dumps([language, entries]).encode())
    if not any(texts):
        raise UserError(f"{flag} {path} holds no entries")
    return Entries(texts=texts, sets=sets, digest=digest.hexdigest())


def _read_list(path: str, flag: str) -> list[str]:
    if not storage.exists(path):
        raise UserError(f"{flag} {path}: there is no such file")
    try:
        text = storage.read_bytes(path).decode()
        entries = json.loads(text) if path.endswith(".json") else text.splitlines()
    except (ValueError, IsADirectoryError) as error:
        raise UserError(f"{flag} {path} is no UTF-8 text or JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"{flag} {path} must be a JSON list of texts")
    return entries


class EntryMatcher:
    """Matches each caption with the entries of its language; a language's tables when it comes."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self._matchers: dict[range, Matcher] = {}

    def matches(self, captions: pa.Array, languages: pa.Array) -> pa.ListArray:
        """Places of the entries in each caption, in rising order; list<int32>."""
        if list(self.entries.sets) == [DEFAULT]:
            return self._matcher(self.entries.sets[DEFAULT], None).matches(captions)
        counts = np.zeros(len(captions), np.int64)
        found = []
        for language in languages.unique().to_pylist():
            places = self.entries.range_for(language)
            if len(places):
                rows = _rows_of(languages, language)
                lists = self._matcher(places, language).matches(captions.take(pa.array(rows)))
                counts[rows] = lengths = np.diff(lists.offsets.to_numpy())
                found.append((np.repeat(rows, lengths), lists.values.to_numpy() + places.start))
        owners = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in found)])
        values = np.concatenate([np.zeros(0, np.int32), *(values for _, values in found)])
        values = values[np.argsort(owners, kind="stable")].astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

    def _matcher(self, places: range, language: str | None) -> Matcher:
        if places not in self._matchers:
            texts = self.entries.texts[places.start : places.stop]
            # Only a set of its own can be in a script without blanks.
            spaced = language not in UNSPACED or language not in self.entries.sets
            self._matchers[places] = Matcher(texts, spaced=spaced)
        return self._matchers[places]


@lru_cache(maxsize=1)
def entry_matcher(path: str, digest: str) -> EntryMatcher:
    """The matcher of a file's entries, made once in a process.

    Raises:
        UserError: the file has changed since its digest was taken.
    """
    entries = read_entries(path, "--balance.metadata")
    if entries.digest != digest:
        raise UserError(f"--balance.metadata {path} has changed while it was in use; run again")
    return EntryMatcher(entries)


def _rows_of(languages: pa.Array, language: str | None) -> np.ndarray:
    if language is None:
        return np.flatnonzero(np.asarray(languages.is_null()))
    equal = pc.call_function("equal", [languages, pa.scalar(language)])
    return np.flatnonzero(np.asarray(equal.fill_null(False)))
