"""Perceptual duplicates: time for a million hashes, and how many planted copies are found.

    make bench WHAT=dedup [ARGS="--svgs /usr/share/openclipart/svg"]

Time: random hashes with planted copies, clustered by the code of `dedup perceptual`; beside it,
pairwise loops over imagehash's objects and a cross join in numpy, both measured on fewer hashes and
scaled by the number of pairs. Quality: see dedup_quality.py; the drawings come from npm packages
and, where given, from a folder of SVG files (Debian's openclipart-svg).
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import imagehash
import numpy as np

import dedup_corpus
import dedup_quality
from diagonal_data.dedup.config import RECOMMENDED
from diagonal_data.dedup.duplicates import near_clusters
from diagonal_infra import run_dir
from machine import RESULTS, hardware, result_stem, today, versions

DISTANCES = (3, 6, 8)
PLANTED_SHARE = 0.05
LOOP_HASHES, JOIN_HASHES = 1_000, 20_000
GOAL_RECALL, GOAL_PRECISION = 0.9, 0.99


def main() -> None:
    """Measure and write the results."""
    given = parse()
    record: dict[str, Any] = {
        "machine": hardware(),
        "date": today(),
        "code_revision": run_dir.code_revision(),
        "versions": versions(("numpy", "imagehash", "resvg-py", "opencv-python-headless")),
        "speed": speed(given.hashes),
    }
    sys.stderr.write(f"{record['speed']}\n")
    if not given.speed_only:
        drawings = dedup_corpus.corpus(given.work, given.svgs, given.processes)
        contents = drawings["content"].to_pylist()
        rng = np.random.default_rng(0)
        rows = dedup_corpus.distinct(contents, given.distinct, rng)
        record["drawings"] = {
            "all": len(contents),
            "distinct": len(rows),
            "planted": given.planted,
            "clip_arts": given.svgs is not None,
            "sets": sets_of([drawings["name"][int(row)].as_py() for row in rows]),
        }
        sys.stderr.write(f"{record['drawings']}\n")
        chosen = [contents[row] for row in rows]
        record["quality"] = dedup_quality.measure(chosen, given.planted, given.processes)
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    given.out.with_suffix(".md").write_text(as_markdown(record))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hashes", type=int, default=1_000_000, help="of the timing")
    parser.add_argument("--distinct", type=int, default=20_000, help="drawings, at most")
    parser.add_argument("--planted", type=int, default=2_000, help="copies of each kind")
    parser.add_argument("--svgs", type=Path, help="folder with more drawings")
    parser.add_argument("--work", type=Path, default=Path("out/dedup"), help="for the drawings")
    parser.add_argument("--processes", type=int, default=2, help="that draw and hash")
    parser.add_argument("--speed-only", action="store_true", help="no drawings")
    stem = RESULTS / result_stem("dedup")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    return parser.parse_args()


def speed(number: int) -> dict[str, Any]:
    """CPU-seconds of ours at several distances, and of the others at distance 3."""
    pairs = number * (number - 1) / 2
    loops, join = loop_seconds(), join_seconds()
    result: dict[str, Any] = {
        "hashes": number,
        "imagehash_loops": {"hashes": LOOP_HASHES, "cpu_seconds": loops * pairs},
        "numpy_cross_join": {"hashes": JOIN_HASHES, "cpu_seconds": join * pairs},
        "diagonal": {},
    }
    for distance in DISTANCES:
        hashes, original = planted_hashes(number, distance)
        began = time.process_time()
        clusters = near_clusters(hashes, np.ones(number, bool), distance)
        seconds = time.process_time() - began
        result["diagonal"][str(distance)] = {
            "cpu_seconds": seconds,
            "recall_of_planted": float((clusters == clusters[original]).mean()),
            "same_as_cross_join": same_as_all_pairs(hashes[-JOIN_HASHES:], distance),
        }
    long = np.random.default_rng(0).integers(0, 1 << 64, (number // 5, 4), dtype=np.uint64)
    began = time.process_time()
    near_clusters(long, np.ones(len(long), bool), RECOMMENDED["pdq"])
    result["pdq"] = {"hashes": len(long), "cpu_seconds": time.process_time() - began}
    result["max_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return result


def planted_hashes(number: int, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes; the last of them differ from others in up to `distance` bits.

    The second array is the row that each is a copy of, or the row itself.
    """
    rng = np.random.default_rng(distance)
    hashes = rng.integers(1 << 63, 1 << 64, number, dtype=np.uint64)
    copied = int(number * PLANTED_SHARE)
    original = np.arange(number)
    original[number - copied :] = rng.choice(number - copied, copied, replace=False)
    changed = hashes[original[number - copied :]]
    bits = rng.permuted(np.tile(np.arange(64, dtype=np.uint64), (copied, 1)), axis=1)[:, :distance]
    for column, flips in enumerate(bits.T):
        is_flipped = rng.integers(1, distance + 1, copied) > column
        changed ^= np.where(is_flipped, np.uint64(1) << flips, np.uint64(0))
    hashes[number - copied :] = changed
    return hashes, original


def same_as_all_pairs(hashes: np.ndarray, distance: int) -> bool:
    """Whether the clusters are those of comparing every pair."""
    labels = np.arange(len(hashes))
    first, second = [], []
    for start in range(0, len(hashes), 1_000):
        differing = np.bitwise_count(hashes[start : start + 1_000, None] ^ hashes[None])
        rows, columns = np.nonzero(differing <= distance)
        first.append(rows + start)
        second.append(columns)
    left, right = np.concatenate(first), np.concatenate(second)
    while True:
        before = labels.copy()
        np.minimum.at(labels, left, labels[right])
        if (labels == before).all():
            break
    return bool((near_clusters(hashes, np.ones(len(hashes), bool), distance) == labels).all())


def loop_seconds() -> float:
    """CPU-seconds per pair of the loop that imagehash's own examples show."""
    bits = np.random.default_rng(0).integers(0, 2, (LOOP_HASHES, 8, 8)).astype(bool)
    hashes = [imagehash.ImageHash(one) for one in bits]
    began = time.process_time()
    near = sum(a - b <= 3 for i, a in enumerate(hashes) for b in hashes[:i])
    assert near < LOOP_HASHES
    return (time.process_time() - began) / (LOOP_HASHES * (LOOP_HASHES - 1) / 2)


def join_seconds() -> float:
    """CPU-seconds per pair of comparing blocks of rows with all rows before them."""
    hashes = np.random.default_rng(0).integers(0, 1 << 64, JOIN_HASHES, dtype=np.uint64)
    began = time.process_time()
    for start in range(0, JOIN_HASHES, 500):
        block, others = hashes[start : start + 500], hashes[: start + 500]
        np.argwhere(np.bitwise_count(block[:, None] ^ others[None]) <= 3)
    return (time.process_time() - began) / (JOIN_HASHES * (JOIN_HASHES - 1) / 2)


def sets_of(names: list[str]) -> dict[str, int]:
    """Drawings by package."""
    packages, counts = np.unique([name.split("/")[0] for name in names], return_counts=True)
    return dict(zip(packages.tolist(), counts.tolist(), strict=True))


def as_markdown(record: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# Perceptual duplicates: time, and planted copies found",
        "",
        f"{record['machine']}, {record['date']}, code revision {record['code_revision'][:7]}. "
        "`make bench WHAT=dedup` measures again.",
        "",
        *speed_table(record["speed"]),
    ]
    if "quality" in record:
        drawings = record["drawings"]
        lines += [
            "",
            "## Planted copies among distinct drawings",
            "",
            f"{drawings['distinct']:,} distinct of {drawings['all']:,} drawings (two thumbnails "
            f"correlate by at most {dedup_corpus.RESEMBLES}), {drawings['planted']:,} copies of "
            "each kind. R: copies that find their original; P: of all pairs of a copy and a "
            "drawing within the distance, those that are right.",
        ]
        for name, found in record["quality"].items():
            lines += ["", *quality_table(name, found)]
    return "\n".join(lines) + "\n"


def speed_table(found: dict[str, Any]) -> list[str]:
    """Ours and the others."""
    lines = [
        f"{found['hashes']:,} hashes of 64 bits, one in twenty a copy of another; the others' "
        "times are scaled from fewer hashes by the number of pairs.",
        "",
        "| | distance | CPU s | planted pairs found | clusters as by comparing all* |",
        "|---|---|---|---|---|",
    ]
    for distance, one in found["diagonal"].items():
        same = "yes" if one["same_as_cross_join"] else "**no**"
        recall = f"{one['recall_of_planted']:.4%}"
        lines.append(f"| diagonal | {distance} | {one['cpu_seconds']:.1f} | {recall} | {same} |")
    for name in ("numpy_cross_join", "imagehash_loops"):
        one = found[name]
        label = f"{name.replace('_', ' ')} (measured on {one['hashes']:,})"
        lines.append(f"| {label} | 3 | {one['cpu_seconds']:,.0f} | all | |")
    long = found["pdq"]
    label = f"diagonal, {long['hashes']:,} PDQ hashes of 256 bits"
    lines.append(f"| {label} | {RECOMMENDED['pdq']} | {long['cpu_seconds']:.1f} | | |")
    return [*lines, "", f"\\* on {JOIN_HASHES:,} of the hashes. Peak {found['max_rss_gb']:.1f} GB."]


def quality_table(name: str, found: dict[str, Any]) -> list[str]:
    """Recall and precision by kind and distance, and what clustering drops."""
    kinds = list(found["kinds"])
    lines = [
        f"### {name} ({found['comparable']:.1%} of the drawings can be compared)",
        "",
        f"| distance | {' | '.join(f'{kind}: R, P' for kind in kinds)} "
        "| distinct drawings taken for copies | goal* |",
        f"|---|{'---|' * (len(kinds) + 2)}",
    ]
    for distance, wrong in found["taken_for_copies"].items():
        at = {kind: found["kinds"][kind][distance] for kind in kinds}
        cells = [f"{one['recall']:.3f}, {one['precision']:.3f}" for one in at.values()]
        reached = all(
            at[kind]["recall"] >= GOAL_RECALL and at[kind]["precision"] >= GOAL_PRECISION
            for kind in dedup_quality.FREE
        )
        is_met = "met" if reached else "no"
        lines.append(f"| {distance} | {' | '.join(cells)} | {wrong:.2%} | {is_met} |")
    goal = f"R ≥ {GOAL_RECALL}, P ≥ {GOAL_PRECISION} for {', '.join(dedup_quality.FREE)}"
    return [*lines, "", f"\\* {goal}."]


if __name__ == "__main__":
    main()
