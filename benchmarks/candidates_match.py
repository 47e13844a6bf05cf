"""Entries in captions: captions per second of one core, against MetaCLIP's released matchers.

    python benchmarks/candidates_match.py --peers SITE_PACKAGES_WITH_PYAHOCORASICK

500,000 entries (words, pairs and triples of them) and captions of nine words on average, drawn with
the frequencies of texts. The two yardsticks are MetaCLIP's (metaclip/substr_matching.py): `in` for
every entry over the spaced caption, and an Aho-Corasick automaton of the spaced entries. Sides take
turns on the same captions, and must find the same.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from diagonal_data.candidates.matcher import Matcher

ENTRIES, WORDS = 500_000, 300_000
LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
CAPTIONS = {"ours": 100_000, "automaton": 20_000, "loop": 20}
ROUNDS = 3
Match = Callable[[Any], Any]
"""Captions to the places of the entries in each."""


def make_texts(folder: Path) -> tuple[list[str], list[str]]:
    """Entries and captions; the same ones each time."""
    dice = np.random.default_rng(0)
    lengths = np.clip(dice.poisson(6, WORDS), 1, 20)
    words = list(dict.fromkeys("".join(dice.choice(LETTERS, n)) for n in lengths.tolist()))

    def draw(number: int) -> list[str]:
        ranks = np.exp(dice.random(number) * np.log(len(words))).astype(int) - 1
        return [words[rank] for rank in ranks.tolist()]

    entries = dict.fromkeys(words[: ENTRIES // 2])
    while len(entries) < ENTRIES:
        entries[" ".join(draw(int(dice.integers(2, 4))))] = None
    captions = []
    for count in np.clip(dice.poisson(9, CAPTIONS["ours"]), 2, 40).tolist():
        chosen = draw(count)
        chosen[count // 2] += str(dice.choice(["", "", "", ",", "."]))
        captions.append(" ".join(chosen))
    texts = list(entries), captions
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps(texts))
    return texts


def spacing(text: str) -> str:
    """MetaCLIP's, step by step."""
    text = f" {text} "
    for sign in (",", ".", ";", ":", "?", "!", "`"):
        text = text.replace(sign, f" {sign} ")
    for blank in ("\t", "\n", "\r"):
        text = text.replace(blank, " ")
    return text


def ours(entries: list[str]) -> Match:
    """The matcher of the command, from a column to a column."""
    matcher = Matcher(entries)
    return lambda captions: matcher.matches(captions)


def loop(entries: list[str]) -> Match:
    """MetaCLIP's first matcher."""
    spaced = [f" {entry} " for entry in entries]

    def match(captions: list[str]) -> list[list[int]]:
        texts = map(spacing, captions)
        return [[i for i, entry in enumerate(spaced) if entry in text] for text in texts]

    return match


def automaton(entries: list[str]) -> Match:
    """MetaCLIP's second matcher."""
    import ahocorasick  # noqa: PLC0415  # pyright: ignore[reportMissingImports]  # the peer's

    searcher = ahocorasick.Automaton()
    for place, entry in enumerate(entries):
        searcher.add_word(f" {entry} ", place)
    searcher.make_automaton()
    return lambda captions: [
        {place for _, place in searcher.iter(spacing(caption))} for caption in captions
    ]


def serve(side: str, folder: Path) -> None:
    """Match what stdin asks for, a number of captions a line; seconds and a digest to stdout."""
    entries, captions = json.loads((folder / "texts.json").read_text())
    match = SIDES[side](entries)
    for line in sys.stdin:
        chosen = captions[: int(line)]
        chosen = pa.array(chosen) if side == "ours" else chosen
        start = time.process_time()
        found = match(chosen)
        seconds = time.process_time() - start
        rows = found.to_pylist() if side == "ours" else list(map(sorted, found))
        sample, matches = rows[: CAPTIONS["loop"]], sum(map(len, rows)) / len(rows)
        print(json.dumps({"seconds": seconds, "matches": matches, "sample": sample}), flush=True)


def measure_matching(folder: Path, peers: str) -> dict[str, Any]:
    """Captions per CPU second of each side, best of three rounds in turn.

    Raises:
        ValueError: the sides do not find the same.
    """
    make_texts(folder)
    command = [sys.executable, __file__, "--folder", str(folder), "--peers", peers, "--side"]
    processes = {
        side: subprocess.Popen(
            [*command, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for side in SIDES
    }
    best: dict[str, float] = {}
    samples, matches = {}, 0.0
    for _ in range(ROUNDS):
        for side, process in processes.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{CAPTIONS[side]}\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            best[side] = max(best.get(side, 0.0), CAPTIONS[side] / answer["seconds"])
            samples[side] = answer["sample"]
            matches = answer["matches"] if side == "ours" else matches
    for process in processes.values():
        process.communicate()
    if len(set(map(json.dumps, samples.values()))) > 1:
        raise ValueError(f"the matchers differ on {folder}/texts.json")
    return {
        "entries": ENTRIES,
        "matches_per_caption": round(matches, 1),
        "captions_per_second": {side: round(rate) for side, rate in best.items()},
        "times_automaton": round(best["ours"] / best["automaton"], 1),
        "times_loop": round(best["ours"] / best["loop"]),
    }


def main() -> None:
    """Measure, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="", help="folder with pyahocorasick")
    parser.add_argument("--folder", type=Path, default=Path("out/bench/candidates_match"))
    parser.add_argument("--side", choices=SIDES)
    args = parser.parse_args()
    if args.side is None:
        print(json.dumps(measure_matching(args.folder, args.peers), indent=2))
    else:
        sys.path.append(args.peers)
        serve(args.side, args.folder)


SIDES = {"ours": ours, "automaton": automaton, "loop": loop}

if __name__ == "__main__":
    main()
