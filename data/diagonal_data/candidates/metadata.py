"""Metadata from texts: the entries that captions are balanced over, as for CLIP and MetaCLIP.

    words      of a corpus, at least 100 times in it                    (Radford et al., 2021, §2.2)
    bigrams    two such words side by side more often than chance has it: pointwise mutual
               information log2(p(a b) / (p(a) p(b)))
    titles     of a list, one a line; `TITLE<TAB>VIEWS` has a least number of views
    wordnet    lemmas of the `index.*` files of a folder

The corpus is text files, one text a line, plain or compressed; it is read once for words and once
for bigrams of the words that were kept. Counters beyond `max_counters` are thinned: the rarest go,
and what they may have lost is in the report, `undercounted_by_at_most`.

    OUTPUT                 entries, sorted, one a line
    OUTPUT with .json      how many each part gave that no part before it had
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import log2
from pathlib import PurePosixPath

from diagonal_infra import run_dir, storage
from diagonal_infra.errors import UserError, require

WORD = r"[^\W_]+(?:[-'’][^\W_]+)*"
WORDS = re.compile(WORD)
# Words side by side, with one blank between them: as an entry must stand in a caption.
RUNS = re.compile(rf"{WORD}(?: {WORD})+")
UNMATCHABLE = re.compile(r"\S[,.;:?!`]|[,.;:?!`]\S|[\t\n\r]")
"""A caption has blanks around these signs when entries are looked for."""
LICENCE_LINE = "  "
"""What the lines before the first lemma of a WordNet file begin with."""


@dataclass(frozen=True, kw_only=True)
class MetadataConfig:
    """Where entries come from, and which of them stay."""

    output: str
    """Text file of the entries."""
    corpus: tuple[str, ...] = ()
    """Text files, one text a line; brace patterns, globs, folders, any fsspec URL."""
    titles: tuple[str, ...] = ()
    """Lists of titles, likewise."""
    wordnet: str | None = None
    """Folder with WordNet's index.noun, index.verb, index.adj and index.adv."""
    min_count: int = 100
    """Least count of a word, and of a bigram."""
    min_pmi: float = 5.0
    """Least pointwise mutual information of a bigram, in bits."""
    max_bigrams: int = 100_000
    """Most bigrams, those with the highest information; 0 is no limit."""
    min_views: int = 70
    """Least number of views of a title, where the list states them."""
    max_chars: int = 256
    """Longest entry, in code points."""
    max_counters: int = 10_000_000
    """Words or bigrams counted at a time, about 100 bytes each."""

    def __post_init__(self) -> None:
        require(self.min_count >= 1, "--min-count must be at least 1")
        require(self.max_counters >= 1000, "--max-counters must be at least 1000")


class BoundedCounter:
    """Counts of at most so many things; the rarest are forgotten when there are more."""

    def __init__(self, most: int) -> None:
        self.counts: Counter[str] = Counter()
        self.total = 0
        """Of all things, forgotten ones too."""
        self.lost = 0
        """No count is too low by more."""
        self._most = most

    def update(self, things: Sequence[str]) -> None:
        """Count these."""
        self.counts.update(things)
        self.total += len(things)
        if len(self.counts) > self._most:
            self._thin()

    def _thin(self) -> None:
        highest = sorted(self.counts.values())[len(self.counts) - self._most // 2]
        self.lost += highest
        self.counts = Counter({thing: n for thing, n in self.counts.items() if n > highest})


def main(config: MetadataConfig) -> None:
    """Write the entries and the report.

    Raises:
        UserError: no source is given, or a source cannot be used.
    """
    if not (config.corpus or config.titles or config.wordnet):
        raise UserError("give --corpus, --titles or --wordnet: entries come from one at least")
    entries, report = build_entries(config)
    storage.write_bytes(config.output, "".join(f"{entry}\n" for entry in entries).encode())
    path = str(PurePosixPath(config.output).with_suffix(".json"))
    path = path if "://" not in config.output else f"{config.output}.json"
    storage.write_bytes(path, run_dir.to_json({"entries": report, "config": asdict(config)}))


def build_entries(config: MetadataConfig) -> tuple[list[str], dict[str, int]]:
    """The entries, sorted by code points, and how many each part gave."""
    lost = 0
    parts: dict[str, Iterable[str]] = {}
    if config.corpus:
        words, bigrams = count_words(config), BoundedCounter(config.max_counters)
        kept = {word for word, n in words.counts.items() if n >= config.min_count}
        for line in read_lines(config.corpus):
            bigrams.update(list(bigrams_of(line, kept)))
        parts = {"words": kept, "bigrams": bigrams_by_information(words, bigrams, config)}
        lost = max(words.lost, bigrams.lost)
    parts["titles"] = titles_of(read_lines(config.titles), config.min_views)
    parts["wordnet"] = wordnet_lemmas(config.wordnet) if config.wordnet else ()
    entries: set[str] = set()
    report = {}
    for name, part in parts.items():
        new = {entry for entry in part if can_match(entry, config.max_chars)} - entries
        report[name] = len(new)
        entries |= new
    report |= {"total": len(entries), "undercounted_by_at_most": lost}
    return sorted(entries), report


def count_words(config: MetadataConfig) -> BoundedCounter:
    """Words of the corpus, with their case."""
    counter = BoundedCounter(config.max_counters)
    for line in read_lines(config.corpus):
        counter.update(WORDS.findall(line))
    return counter


def bigrams_of(line: str, kept: set[str]) -> Iterator[str]:
    """Pairs of kept words with one blank between them."""
    for run in RUNS.finditer(line):
        words = run[0].split(" ")
        for first, second in pairwise(words):
            if first in kept and second in kept:
                yield f"{first} {second}"


def bigrams_by_information(
    words: BoundedCounter, bigrams: BoundedCounter, config: MetadataConfig
) -> list[str]:
    """The bigrams that stay; of equal information the first in the alphabet."""
    found = []
    for bigram, count in bigrams.counts.items():
        first, second = bigram.split(" ")
        expected = words.counts[first] * words.counts[second] / words.total
        information = log2(count / expected)
        if count >= config.min_count and information >= config.min_pmi:
            found.append((-information, bigram))
    found.sort()
    return [bigram for _, bigram in found[: config.max_bigrams or None]]


def titles_of(lines: Iterable[str], min_views: int) -> Iterator[str]:
    """Titles of a list, those with too few views left out."""
    for line in lines:
        title, _, views = line.strip().partition("\t")
        if not views or (views.isdecimal() and int(views) >= min_views):
            yield title.replace("_", " ")


def wordnet_lemmas(folder: str) -> Iterator[str]:
    """Lemmas of WordNet's index files (wndb(5WN)).

    Raises:
        UserError: the folder has none.
    """
    names = [name for name in storage.list_files(folder) if name.startswith("index.")]
    parts = [name for name in names if name.split(".")[1] in ("noun", "verb", "adj", "adv")]
    if not parts:
        raise UserError(f"--wordnet {folder!r} has no index.noun, index.verb, index.adj, index.adv")
    for name in parts:
        for line in storage.read_bytes(storage.join(folder, name)).decode("latin-1").splitlines():
            if not line.startswith(LICENCE_LINE):
                yield line.split(" ", 1)[0].replace("_", " ")


def can_match(entry: str, max_chars: int) -> bool:
    """Whether a caption could hold the entry, as the matcher reads captions."""
    return 0 < len(entry) <= max_chars and not UNMATCHABLE.search(entry) and entry == entry.strip()


def read_lines(patterns: Sequence[str]) -> Iterator[str]:
    """Lines of all files, in the order of their names; what is no UTF-8 is replaced."""
    for path in (path for pattern in patterns for path in storage.expand(pattern)):
        with storage.open_read(path) as file:
            for line in file:
                yield line.decode("utf-8", "replace").rstrip("\r\n")
