"""DataComp's way to a subset, written anew: what its `baselines/apply_filter.py` does, no more.

python benchmarks/filters_peer.py score|basic POOL OUTPUT.npy --workers 2

score   every worker reads the score of its files, the threshold is cut from all of them sorted;
        then uid and scores of a file into pandas, a mask, and a tuple of two Python integers of
        every uid that stays
basic   every worker reads a file into pandas; words and characters of every caption and both
        halves of every uid by a Python function per row. Released, it asks a language model too;
        here the answer is a column, as it is for us

The tuples become an array of "u8,u8", which is sorted and saved.
"""

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

U8U8 = np.dtype("u8,u8")
FRACTION, LEAST_B32, LANGUAGE = 0.3, 0.15, "en"
B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


def main() -> None:
    """Select and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rule", choices=("score", "basic"))
    parser.add_argument("pool", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    files = sorted(given.pool.glob("*.parquet"))
    with multiprocessing.Pool(given.workers) as workers:
        if given.rule == "basic":
            subsets = workers.map(read_basic, files)
        else:
            scores = np.concatenate(workers.map(read_scores, files))
            threshold = -np.sort(-scores)[int(len(scores) * FRACTION)]
            subsets = workers.map(partial(read_subset, threshold=threshold), files)
    subset = np.concatenate(subsets)
    subset.sort()
    np.save(given.output, subset)


def read_scores(path: Path) -> np.ndarray:
    """One column of one file."""
    return np.asarray(pd.read_parquet(path, columns=[L14])[L14])


def read_subset(path: Path, threshold: float) -> np.ndarray:
    """The uids of a file that stay."""
    rows = pd.read_parquet(path, columns=["uid", B32, L14, "lang"])
    mask = (rows[B32] >= LEAST_B32) & (rows["lang"] == LANGUAGE) & (rows[L14] >= threshold)
    uids = np.asarray(rows["uid"])[mask]
    return np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], U8U8)


def read_basic(path: Path) -> np.ndarray:
    """The uids of a file that stay, by caption, size and language."""
    rows = pd.read_parquet(
        path, columns=["uid", "text", "original_width", "original_height", "lang"]
    )
    words = rows["text"].apply(lambda text: len(text.split()))
    chars = rows["text"].apply(len)
    number = rows["uid"].apply(int, base=16)
    upper, lower = (number // 2**64).astype("uint64"), (number % 2**64).astype("uint64")
    uids = np.array(list(zip(upper, lower, strict=True)), U8U8)
    smaller = np.minimum(rows["original_width"], rows["original_height"])
    larger = np.maximum(rows["original_width"], rows["original_height"])
    mask = (rows["lang"] == LANGUAGE) & (words > 2) & (chars > 5)
    return uids[mask & (smaller >= 200) & (larger / smaller <= 3.0)]


if __name__ == "__main__":
    main()
