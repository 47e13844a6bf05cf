"""Deduplication and balancing of synthetic rows on two cores, against DuckDB alone.

    python benchmarks/candidates_scale.py --rows 1000000 --folder out/bench/candidates_scale

Input: Parquet files of `url`, `caption` and `matches` (3.5 of 500,000 entries on average, their
frequencies as in texts); a quarter of the rows repeats another. Both sides drop the repeats, name
each row by 128 bits of URL and caption, count the rows of each entry, and write the rows that the
draw with t keeps, with their probability. Ours runs the stages of the command behind cleaning and
matching, the hashing and exchange of URLs included; DuckDB runs the same as four statements.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.candidates.config import BalanceConfig, DedupConfig
from diagonal_data.candidates.counts import count_entries, total_counts
from diagonal_data.candidates.draw_part import draw_part
from diagonal_data.candidates.entries import DEFAULT, Entries
from diagonal_data.candidates.exchange import read_partition, write_partitioned
from diagonal_data.candidates.pool_part import (
    ALIVE,
    POOL_SCHEMA,
    Rows,
    drop_copies,
    name_rows,
    spread,
)
from diagonal_data.candidates.stages import POOL, PoolParams, write_table
from diagonal_data.candidates.text_columns import joined
from diagonal_data.candidates.tokens import mix
from diagonal_data.candidates.url_key import url_keys
from measure import run_measured

Result = TypeVar("Result")
ENTRIES, CORES, MEMORY_GB = 500_000, 2, 4
ROWS_PER_FILE, ROWS_PER_PARTITION = 500_000, 625_000
WORDS = np.array(["a red car", "old house", "by the sea", "of wood", "two dogs", "in the snow"])


def make_rows(folder: Path, num_rows: int) -> None:
    """Write the input; equal numbers of rows give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, num_rows, ROWS_PER_FILE):
        path = folder / f"{start // ROWS_PER_FILE:05d}.parquet"
        if not path.exists():
            numbers = np.arange(start, min(start + ROWS_PER_FILE, num_rows), dtype=np.uint64)
            # Drawn with repetition, so that 26 % of the rows repeat another.
            images = mix(numbers + np.uint64(1)) % np.uint64(1.6 * num_rows)
            pq.write_table(rows_of(images), path)


def rows_of(images: np.ndarray) -> pa.Table:
    """URL, caption and matches, which depend on the image's number."""
    lots = [mix(images * np.uint64(8) + np.uint64(salt)) for salt in range(8)]
    texts = [pa.array((lot % np.uint64(10**9)).astype(np.int64)).cast(pa.string()) for lot in lots]
    hosts = pa.array((lots[0] % np.uint64(10_000)).astype(np.int64)).cast(pa.string())
    parts = [pa.array(WORDS[(lot % np.uint64(len(WORDS))).astype(int)]) for lot in lots[:4]]
    fixed = [pa.repeat(pa.scalar(text), len(images)) for text in ("https://img", ".example.org/")]
    urls = joined([fixed[0], hosts, fixed[1], texts[1], texts[2]], "")
    counts = 1 + (lots[3] % np.uint64(6)).astype(np.int64)
    owners = np.repeat(images, counts) * np.uint64(6)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (mix(owners + within.astype(np.uint64)) >> np.uint64(11)) * 2.0**-53
    entries = (ENTRIES**share).astype(np.int32)
    matches = pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(counts)), pa.int32()), entries
    )
    captions = joined([*parts, texts[4]], " ")
    return pa.table(
        {"url": urls.cast(pa.string()), "caption": captions.cast(pa.string()), "matches": matches}
    )


def run_ours(source: Path, output: Path, num_rows: int) -> dict[str, Any]:
    """Our stages over two processes."""
    files = sorted(source.glob("*.parquet"))
    params = PoolParams(
        output=str(output),
        partitions=max(2, num_rows // ROWS_PER_PARTITION),
        clean="none",
        detect_language=False,
        languages=(),
        dedup=DedupConfig(),
        balance=BalanceConfig(metadata="", t=t_for(num_rows)),
    )
    entries = Entries(texts=[""] * ENTRIES, sets={DEFAULT: range(ENTRIES)}, digest="")
    cpu_seconds: list[float] = []
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["diagonal_data.candidates.pool", "candidates_scale"])
    with ProcessPoolExecutor(CORES, context) as pool:

        def run(function: Callable[[int], Result], items: Sequence[int]) -> list[Result]:
            jobs = [pool.submit(timed, function, item) for item in items]
            done = [job.result() for job in jobs]
            cpu_seconds.extend(seconds for _, seconds in done)
            return [result for result, _ in done]

        numbers = range(params.partitions)
        run(partial(exchange, params, files), range(len(files)))
        run(partial(pool_without_cleaning, params), numbers)
        run(partial(count_entries, params), numbers)
        total_counts(params, entries)
        rows = run(partial(draw_part, params), numbers)
    kept = sum(counts["kept"] for counts in rows)
    return {"kept": kept, "work_cpu_seconds": round(sum(cpu_seconds), 2)}


def timed(function: Callable[[int], Result], item: int) -> tuple[Result, float]:
    """A result and the CPU seconds that it took, start of the process not counted."""
    start = time.process_time()
    return function(item), time.process_time() - start


def exchange(params: PoolParams, files: Sequence[Path], number: int) -> None:
    """What reading does with a file: keys, and rows to their partitions."""
    table = pq.read_table(files[number], use_threads=False)
    keys = url_keys(table["url"])
    partition = (keys % np.uint64(params.partitions)).astype(np.int64)
    path = f"{params.output}/read/{files[number].name}"
    write_partitioned(path, table.append_column("key", pa.array(keys)), partition, {})


def pool_without_cleaning(params: PoolParams, partition: int) -> None:
    """`build_pool` for rows that have caption and matches."""
    found = pa.concat_tables(read_partition(params.read_paths, partition)).combine_chunks()
    hints = {name: pa.nulls(len(found), pa.int32()) for name in ("width_hint", "height_hint")}
    found = found.append_column("width_hint", hints["width_hint"])
    found = found.append_column("height_hint", hints["height_hint"])
    captions = found["caption"].combine_chunks()
    rows = Rows(found.drop_columns(["matches"]), captions, np.full(len(found), ALIVE, np.int8))
    drop_copies(rows)
    uids = name_rows(params, rows)
    alive = rows.alive()
    columns: dict[str, Any] = {name: found[name] for name in ("url", "caption")}
    columns["uid"] = spread(uids, alive, len(found))
    columns["matches"] = found["matches"]
    indices = pa.array(np.zeros(len(found), np.int8), mask=rows.codes == ALIVE)
    columns["reason"] = pa.DictionaryArray.from_arrays(indices, ["duplicate"])
    nothing = {f.name: pa.nulls(len(found), f.type) for f in POOL_SCHEMA if f.name not in columns}
    table = pa.table(columns | nothing).select(POOL_SCHEMA.names).cast(POOL_SCHEMA)
    write_table(params.path(POOL, partition), table, {}, compression="lz4")


def run_duckdb(source: Path, output: Path, num_rows: int) -> dict[str, Any]:
    """The same in SQL; its lots are other ones."""
    output.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect(
        str(output / "work.duckdb"),
        config={
            "threads": CORES,
            "memory_limit": f"{MEMORY_GB}GB",
            "temp_directory": str(output / "spill"),
            "preserve_insertion_order": False,
        },
    )
    for statement in SQL.format(source=source, output=output, t=t_for(num_rows)).split(";"):
        database.execute(statement)
    [kept] = database.execute(f"SELECT count(*) FROM '{output}/kept.parquet'").fetchone() or [0]
    return {"kept": kept}


SQL = """
CREATE TABLE pool AS
    SELECT md5(url || chr(10) || caption) AS uid, url, caption, any_value(matches) AS matches
    FROM read_parquet('{source}/*.parquet') GROUP BY url, caption;
CREATE TABLE counts AS
    SELECT entry, least(1.0, {t} / count(*)) AS p
    FROM (SELECT unnest(matches) AS entry FROM pool) GROUP BY entry;
CREATE TABLE won AS
    SELECT uid, bool_or(lot < p) AS stays, 1 - product(1 - p) AS keep_p
    FROM (SELECT uid, entry, hash(uid, entry, 0) / 18446744073709551616.0 AS lot
          FROM (SELECT uid, unnest(matches) AS entry FROM pool))
    JOIN counts USING (entry) GROUP BY uid;
COPY (SELECT uid, url, caption, matches, keep_p::FLOAT AS keep_p
      FROM pool JOIN won USING (uid) WHERE stays)
    TO '{output}/kept.parquet' (FORMAT parquet, COMPRESSION zstd)
"""


def t_for(num_rows: int) -> int:
    """As 20,000 is to a pool of 20 million rows."""
    return max(1, num_rows // 1000)


def measure_scale(folder: Path, num_rows: int, sides: Sequence[str]) -> dict[str, Any]:
    """Wall and CPU seconds, memory and rows kept of each side, one after the other."""
    source = folder / f"rows-{num_rows}"
    make_rows(source, num_rows)
    figures: dict[str, Any] = {"rows": num_rows}
    for side in sides:
        output = folder / side
        shutil.rmtree(output, ignore_errors=True)
        command = [sys.executable, __file__, "--side", side, "--rows", str(num_rows)]
        usage = run_measured([*command, "--folder", str(folder)], folder / f"{side}-log")
        result = json.loads((folder / f"{side}.json").read_text())
        figures[side] = {
            "seconds": round(usage.wall_seconds, 2),
            "cpu_seconds": round(usage.cpu_seconds, 2),
            "max_memory_gb": round(usage.max_pss_bytes / 1e9, 2),
            "us_per_row": round(usage.wall_seconds / num_rows * 1e6, 3),
            **result,
        }
        shutil.rmtree(output, ignore_errors=True)
    return figures


def main() -> None:
    """Measure, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("out/bench/candidates_scale"))
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    args = parser.parse_args()
    if args.side is None:
        print(json.dumps(measure_scale(args.folder, args.rows, args.sides), indent=2))
        return
    source = args.folder / f"rows-{args.rows}"
    result = SIDES[args.side](source, args.folder / args.side, args.rows)
    (args.folder / f"{args.side}.json").write_text(json.dumps(result))


SIDES = {"ours": run_ours, "duckdb": run_duckdb}

if __name__ == "__main__":
    main()
