"""The first stage: units of input to OUTPUT/read/UNIT.parquet, each cut by the hash of its URLs.

    OUTPUT/read/stage.json        number of partitions, fixed when the first unit was read
    OUTPUT/read/UNIT.parquet      `FOUND_SCHEMA` and `key`, the URL's hash; see exchange.py

A unit whose file is there is done, unless its input was missing then. What came of units that the
plan no longer has is removed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from diagonal_data.candidates.exchange import read_facts, write_partitioned
from diagonal_data.candidates.found import Found, PageOutcome, ReadCounts, found_table
from diagonal_data.candidates.html_folder import read_html_file
from diagonal_data.candidates.lists import read_list
from diagonal_data.candidates.plan import InputFile, Unit, partitions_for
from diagonal_data.candidates.url_key import url_keys
from diagonal_data.candidates.warc import read_warc
from diagonal_data.candidates.wat import read_wat
from diagonal_infra import log, run_dir, storage, tally
from diagonal_infra.ray_cluster import map_unordered
from diagonal_infra.shared import Shared

FOLDER = "read"
ROWS_PER_TABLE = 65_536
"""Found images that are held as objects before they become a table."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a worker must know to read a unit."""

    folder: str
    partitions: int
    agent: str
    pages_folder: str = ""
    base_url: str | None = None
    """Where a folder of pages begins, and where on the web that is."""


def read_units(
    reading: Reading, units: Sequence[Unit], *, workers: int, local: bool, deadline_seconds: float
) -> ReadCounts:
    """Read what is not read yet; the counts of all units.

    Raises:
        UnitError: units that failed again and again, when all others are done.
    """
    keep = {f"{unit.name}.parquet" for unit in units}
    done: dict[str, dict[str, dict[str, int]]] = {}
    for name in storage.list_files(reading.folder, ".parquet"):
        path = storage.join(reading.folder, name)
        facts = read_facts(path) if name in keep else None
        if facts is None or facts["pages"].get(PageOutcome.MISSING):
            storage.delete(path)
        else:
            done[name.removesuffix(".parquet")] = facts
    storage.delete_partials(reading.folder)
    todo = [unit for unit in units if unit.name not in done]
    with log.progress() as progress:
        task = progress.add_task("read", total=len(units), completed=len(units) - len(todo))
        results = map_unordered(
            partial(read_unit, reading),
            todo,
            workers=workers,
            local=local or len(todo) < 2,
            deadline_seconds=deadline_seconds,
        )
        for unit, facts in results:
            done[unit.name] = facts
            for kind, outcomes in facts.items():
                tally.now().add_items(kind, outcomes)
            progress.advance(task)
    total = ReadCounts()
    for facts in done.values():
        total.pages.update(facts["pages"])
        total.images.update(facts["images"])
    return total


def read_unit(reading: Reading, unit: Unit, _: Shared) -> dict[str, dict[str, int]]:
    """Read one unit and write what was found; the counts."""
    counts = ReadCounts()
    tables = list(_tables(reading, unit, counts))
    table = pa.concat_tables(tables) if tables else found_table([])
    keys = url_keys(table["url"])
    table = table.append_column("key", pa.array(keys))
    facts = {"pages": dict(counts.pages), "images": dict(counts.images)}
    partition = (keys % reading.partitions).astype("int64")
    write_partitioned(storage.join(reading.folder, f"{unit.name}.parquet"), table, partition, facts)
    return facts


def settled_partitions(folder: str, wanted: int, files: Sequence[InputFile]) -> int:
    """The number of partitions: as it was when the first unit was read, else as asked for.

    An input that has grown keeps its partitions, so that nothing is read again.
    """
    path = storage.join(folder, "stage.json")
    if storage.exists(path):
        known = json.loads(storage.read_bytes(path))["partitions"]
        if wanted in (0, known):
            return known
        for name in storage.list_files(folder, ".parquet"):
            storage.delete(storage.join(folder, name))
    partitions = wanted or partitions_for(files)
    storage.write_bytes(path, run_dir.to_json({"partitions": partitions}))
    return partitions


def _tables(reading: Reading, unit: Unit, counts: ReadCounts) -> Iterator[pa.Table]:
    if unit.reader == "urls":
        (path,) = unit.paths
        yield from read_list(path, counts, start=unit.start, end=unit.end)
        return
    found = []
    for batch in _batches(reading, unit, counts):
        found += batch
        if len(found) >= ROWS_PER_TABLE:
            yield found_table(found)
            found = []
    yield found_table(found)


def _batches(reading: Reading, unit: Unit, counts: ReadCounts) -> Iterator[list[Found]]:
    """What pages give, page by page."""
    if unit.reader == "html":
        for path in unit.paths:
            yield read_html_file(
                path,
                counts,
                folder=reading.pages_folder,
                base_url=reading.base_url,
                agent=reading.agent,
            )
        return
    read = {"wat": read_wat, "warc": read_warc}[unit.reader]
    (path,) = unit.paths
    if not storage.exists(path):
        counts.pages[PageOutcome.MISSING] += 1
        return
    with storage.open_read(path, inflate=False) as file:
        yield from read(file, counts, start=unit.start, end=unit.end, agent=reading.agent)
