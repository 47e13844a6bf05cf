"""Copying a subset into new shards: reshard against the way of DataComp's resharder.py.

    make bench WHAT=reshard [ARGS="--samples 20000 --keep 0.3 1.0"]

Both read the same shards on a local disk and write as many samples to new ones, in one process. The
peer is written here after DataComp's program: a webdataset pipeline goes through every shard member
by member, looks the uid in each sample's json up in the sorted .npy with searchsorted, and writes
what is kept, repeated as often as listed, with webdataset's TarWriter. Ours reads row tables and
copies ranges, hashes each new tar, writes row tables and syncs each file. Shards are in the page
cache for both. The figures are of fresh processes, programs taking turns: MB of kept samples per
CPU-second and per second of wall time, imports left out.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from webdataset.tariterators import tarfile_samples

from diagonal_data.filters.keep_list import pack_uids, read_keep_list, write_keep_list
from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_infra import run_dir
from machine import RESULTS, hardware, result_stem, today, versions

PEER, OURS, SHUFFLED = "DataComp's way", "diagonal", "diagonal --seed 7"
PROGRAMS = (PEER, OURS, SHUFFLED)
PER_SHARD = 10_000
GOAL = 3.0
MB = 1e6


def main() -> None:
    """Measure, and write the results; or be one of the programs."""
    given = parse()
    if given.one:
        run_one(given)
        return
    record = {
        **{"machine": hardware(), "date": today(), "code_revision": run_dir.code_revision()},
        "versions": versions(("webdataset", "pyarrow", "numpy")),
        **{"samples": given.samples, "mean_kb": given.mean_kb, "repeat": given.repeat},
        "kept": [measured(given, keep) for keep in given.keep],
    }
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    given.out.with_suffix(".md").write_text(as_markdown(record))


def measured(given: argparse.Namespace, keep: float) -> dict[str, Any]:
    """All programs, taking turns, for one share that is kept."""
    data = given.work / f"data-{given.samples}-{given.mean_kb}-{keep}"
    if not (data / "manifest.json").exists():
        write_corpus(data, given, keep)
    kept_bytes = size_of_kept(data)
    runs: dict[str, list[dict[str, float]]] = {program: [] for program in PROGRAMS}
    for program in PROGRAMS * given.repeat:
        output = given.work / "out"
        shutil.rmtree(output, ignore_errors=True)
        subprocess.run(["cat", *map(str, data.glob("shards/*.tar"))], stdout=-3, check=True)
        words = ["--one", program, "--data", str(data), "--work", str(given.work)]
        command = [sys.executable, __file__, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        found["mb_per_cpu_second"] = kept_bytes / MB / found["cpu_seconds"]
        found["mb_per_second"] = kept_bytes / MB / found["wall_seconds"]
        runs[program].append(found)
        check_output(output, data)
        sys.stderr.write(f"{program} {runs[program][-1]}\n")
    return {"share": keep, "kept_mb": kept_bytes / MB, "runs": runs}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=20_000, help="of the corpus")
    parser.add_argument(
        "--keep", type=float, nargs="+", default=[0.3, 1.0], help="shares that are copied"
    )
    parser.add_argument("--mean-kb", type=int, default=50, help="of one picture")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median")
    parser.add_argument("--work", type=Path, default=Path("out/bench-reshard"), help="for data")
    stem = RESULTS / result_stem("reshard")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    parser.add_argument("--one", choices=PROGRAMS, help="be this program")
    parser.add_argument("--data", type=Path, help="with --one: what to copy from")
    return parser.parse_args()


def write_corpus(data: Path, given: argparse.Namespace, keep: float) -> None:
    """Shards of pictures that are noise of many sizes, and a keep list with a few repeats."""
    rng = np.random.default_rng(0)
    manifest = Manifest(dataset=str(data), settings={})
    noise = rng.bytes(16 * 1024 * given.mean_kb)
    uids: list[str] = []
    (data / "shards").mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, given.samples, PER_SHARD)):
        name, rows = f"{number:08d}", []
        with (data / "shards" / f"{name}.tar").open("wb") as file:
            writer = TarWriter(file)
            for index in range(first, min(first + PER_SHARD, given.samples)):
                caption, url = f"picture {index}", f"http://a.example/{index}.jpg"
                row: dict[str, Any] = {"uid": uid_for(url, caption), "url": url}
                row |= {"caption": caption, "key": f"{name}{index - first:04d}"}
                size = int(rng.lognormal(0, 0.6) * 1024 * given.mean_kb / 1.2)
                start = int(rng.integers(0, 1024 * given.mean_kb))
                members = {"jpg": noise[start : start + size], "txt": caption.encode()}
                members["json"] = json.dumps(row | {"width": 256, "height": 256}).encode()
                extent = writer.add(Sample(key=row["key"], members=members))
                row |= {"tar_offset": extent.offset, "tar_bytes": extent.length}
                rows.append(row | {"status": "success"})
            writer.close()
        pq.write_table(
            pa.Table.from_pylist(rows, schema=ROW_SCHEMA), data / "shards" / f"{name}.parquet"
        )
        uids += [row["uid"] for row in rows]
        info = ShardInfo(name=name, candidates=len(rows), samples=len(rows), bytes=0, sha256="")
        stats = {"successes": len(rows), **asdict(info)}
        (data / "shards" / f"{name}_stats.json").write_bytes(run_dir.to_json(stats))
        manifest.add(info)
    kept = rng.choice(len(uids), int(keep * len(uids)), replace=False)
    repeated = [uids[i] for i in kept] + [uids[i] for i in kept[: len(kept) // 100]]
    write_keep_list(str(data / "filters" / "kept" / "keep.npy"), repeated)
    manifest.write()


def size_of_kept(data: Path) -> int:
    """Bytes of the samples to copy, headers included, repeats counted."""
    uids, counts = np.unique(read_keep_list(str(data), "kept"), return_counts=True)
    times = {uid.tobytes(): count for uid, count in zip(uids, counts, strict=True)}
    total = 0
    for path in data.glob("shards/*.parquet"):
        rows = pq.read_table(path, columns=["uid", "tar_bytes"])
        for uid, size in zip(
            pack_uids(rows["uid"].to_pylist()), rows["tar_bytes"].to_pylist(), strict=True
        ):
            total += int(times.get(uid.tobytes(), 0)) * size
    return total


def run_one(given: argparse.Namespace) -> None:
    """Copy once; what it took goes to stdout, as JSON."""
    output = given.work / "out"
    wall, cpu = time.perf_counter(), time.process_time()
    if given.one == PEER:
        copy_like_datacomp(given.data, output)
    else:
        seed = 7 if given.one == SHUFFLED else None
        config = ReshardConfig(
            dataset=str(given.data), filter="kept", output=str(output), seed=seed, local=True
        )
        reshard(config)
    found = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
    found["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    sys.stdout.write(json.dumps(found))


def copy_like_datacomp(data: Path, output: Path) -> None:
    """Every sample of every shard is read; the kept ones are written, 10,000 to a shard."""
    keep = read_keep_list(str(data), "kept")
    output.mkdir(parents=True)
    writer: webdataset.TarWriter | None = None  # pyright: ignore[reportPrivateImportUsage]  # the package exports it
    count = 0
    sources = ({"url": str(path)} for path in sorted(data.glob("shards/*.tar")))
    for sample in tarfile_samples(sources):
        uid = json.loads(sample["json"])["uid"]
        key = np.array((int(uid[:16], 16), int(uid[16:], 16)), dtype=keep.dtype)
        first = np.searchsorted(keep, key, "left")
        for copy in range(int(np.searchsorted(keep, key, "right") - first)):
            if count % PER_SHARD == 0:
                if writer is not None:
                    writer.close()
                path = output / f"{count // PER_SHARD:08d}.tar"
                writer = webdataset.TarWriter(str(path))  # pyright: ignore[reportPrivateImportUsage]  # as above
            members = {name: sample[name] for name in ("jpg", "txt", "json")}
            assert writer is not None
            writer.write({"__key__": f"{uid}-{copy}", **members})
            count += 1
    if writer is not None:
        writer.close()
    (output / "count.json").write_text(json.dumps(count))


def check_output(output: Path, data: Path) -> None:
    """All kept samples are there."""
    expected = len(read_keep_list(str(data), "kept"))
    counted = output / "count.json"
    if counted.exists():
        assert json.loads(counted.read_text()) == expected
        return
    shards = json.loads((output / "manifest.json").read_text())["shards"]
    assert sum(shard["samples"] for shard in shards) == expected


def as_markdown(record: dict[str, Any]) -> str:
    """The table of medians, and what came of the goal."""
    lines = [
        f"# Reshard · {record['date']}",
        "",
        f"{record['machine']}; {record['samples']:,} samples of {record['mean_kb']} KB on average, "
        f"10,000 to a shard, one process; medians of {record['repeat']}, "
        f"`{record['code_revision'][:12]}`.",
        "",
        "| kept | program | MB per CPU-second | MB/s | CPU-s | wall s | memory MB | per core |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for part in record["kept"]:
        medians = {
            program: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for program, runs in part["runs"].items()
        }
        for program, found in medians.items():
            ratio = found["mb_per_cpu_second"] / medians[PEER]["mb_per_cpu_second"]
            ratios.append((ratio, f"{program} at {part['share']:.0%}"))
            cells = [f"{part['share']:.0%} ({part['kept_mb']:,.0f} MB)", program]
            cells += [f"{found[key]:,.1f}" for key in ("mb_per_cpu_second", "mb_per_second")]
            cells += [f"{found[key]:.2f}" for key in ("cpu_seconds", "wall_seconds")]
            cells += [f"{found['max_rss_mb']:,.0f}", f"{ratio:.1f}×"]
            lines.append(f"| {' | '.join(cells)} |")
    least, where = min(ratio for ratio in ratios if PEER not in ratio[1])
    verdict = "reached" if least >= GOAL else "missed"
    lines.append(f"\nGoal {GOAL:.0f}× per core: {verdict}; the least is {least:.1f}×, of {where}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
