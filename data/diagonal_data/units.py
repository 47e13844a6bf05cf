"""The plan of a dataset: which candidates go into which shard.

    candidates in order → minus those planned before → units/00000007.parquet, one per shard to come

A unit file is written before its shard is begun and removed when the shard is finished, so a
candidate is always in exactly one of: a unit file, a finished row table, the input. That is why a
run can be killed at any instant, and why the input may grow or be reordered between runs: what is
known by uid keeps its shard, what is new goes into new shards.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, shards_folder
from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_infra import storage
from diagonal_infra.errors import UserError

REQUIRED = ("uid", "url", "caption")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One shard's work: its name and the Parquet file with its candidates."""

    shard: str
    path: str


def units_folder(dataset: str) -> str:
    """`DATASET/units`, empty once the dataset is finished."""
    return storage.join(dataset, "units")


def check_candidates(candidates: str) -> list[str]:
    """The files of a folder or pattern, in order, checked before any work starts.

    Raises:
        UserError: no file, no row, not Parquet, or of another schema.
    """
    paths = [path for path in storage.expand(candidates) if path.endswith(".parquet")]
    if not paths:
        raise UserError(f"no Parquet files in {candidates!r}; make them with 'make candidates'")
    if sum(_checked_rows(path) for path in paths) == 0:
        raise UserError(f"no candidates in {candidates!r}: all its files are empty")
    return paths


def write_units(
    manifest: Manifest, candidates: Sequence[str], samples_per_shard: int
) -> list[Unit]:
    """Plan what is not planned yet; returns every unit whose shard is unfinished, in order.

    `candidates` are paths that `check_candidates` has passed.
    """
    folder = units_folder(manifest.dataset)
    storage.delete_partials(folder)
    planned = _planned_shards(manifest)
    known = _known_uids(manifest, planned)
    next_shard = max((int(name) for name in planned | manifest.shards.keys()), default=-1) + 1
    for table in plan_units(_batches(candidates), known, samples_per_shard):
        path = storage.join(folder, f"{next_shard:08d}.parquet")
        with storage.write_whole(path) as file:
            pq.write_table(table, file)
        planned.add(f"{next_shard:08d}")
        next_shard += 1
    return [
        Unit(shard=name, path=storage.join(folder, f"{name}.parquet")) for name in sorted(planned)
    ]


def plan_units(batches: Iterable[pa.RecordBatch], known: set[str], size: int) -> Iterator[pa.Table]:
    """Cut the candidates that are not in `known` into tables of `size` rows, in order.

    `known` grows by every uid met, so a uid is planned once however often it is listed.
    """
    waiting: list[pa.Table] = []
    count = 0
    for batch in batches:
        uids = batch.column("uid").to_pylist()
        fresh = []
        for row, uid in enumerate(uids):
            if uid not in known:
                known.add(uid)
                fresh.append(row)
        table = pa.Table.from_batches([batch]).take(pa.array(fresh, pa.int64()))
        waiting.append(table)
        count += table.num_rows
        while count >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size)
            waiting, count = [joined.slice(size)], count - size
    if count:
        yield pa.concat_tables(waiting)


def read_unit(unit: Unit) -> pa.Table:
    """The unit's candidates as a table of `CANDIDATE_SCHEMA`."""
    with storage.open_read(unit.path) as file:
        return pq.read_table(file)


def _checked_rows(path: str) -> int:
    """How many candidates a file holds, all of them usable."""
    hint = f"make candidates of it with 'python -m diagonal_data.candidates urls --input {path}'"
    try:
        with storage.open_read(path) as opened:
            file = pq.ParquetFile(opened)
            schema = file.schema_arrow
            missing = [name for name in REQUIRED if name not in schema.names]
            if missing:
                raise UserError(
                    f"{path!r} lacks the columns {', '.join(missing)} "
                    f"(it has {', '.join(schema.names)}); {hint}"
                )
            for name in REQUIRED:
                kind = schema.field(name).type
                if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                    raise UserError(f"column {name} of {path!r} is {kind}, not string; {hint}")
                if _null_count(file, name):
                    raise UserError(f"column {name} of {path!r} has null values; {hint}")
            return file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path!r} is no Parquet file that can be read: {error}") from error


def _null_count(file: pq.ParquetFile, name: str) -> int:
    """From the file's statistics; the column is read only where a writer left them out."""
    column = file.schema_arrow.names.index(name)
    nulls = 0
    for i in range(file.num_row_groups):
        statistics = file.metadata.row_group(i).column(column).statistics
        if statistics is None or statistics.null_count is None:
            return file.read(columns=[name])[name].null_count
        nulls += statistics.null_count
    return nulls


def _batches(paths: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Candidates with exactly the columns of `CANDIDATE_SCHEMA`; absent ones are null."""
    for path in paths:
        with storage.open_read(path) as opened:
            file = pq.ParquetFile(opened)
            present = [name for name in CANDIDATE_SCHEMA.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=present):
                columns = [
                    batch.column(field.name).cast(field.type)
                    if field.name in present
                    else pa.nulls(batch.num_rows, field.type)
                    for field in CANDIDATE_SCHEMA
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=CANDIDATE_SCHEMA)


def _planned_shards(manifest: Manifest) -> set[str]:
    """Shards with a unit file; the file of a finished shard is a kill's leftover and goes."""
    folder = units_folder(manifest.dataset)
    planned = {name.removesuffix(".parquet") for name in storage.list_files(folder, ".parquet")}
    for name in planned & manifest.shards.keys():
        storage.delete(storage.join(folder, f"{name}.parquet"))
    return planned - manifest.shards.keys()


def _known_uids(manifest: Manifest, planned: set[str]) -> set[str]:
    finished = shards_folder(manifest.dataset)
    paths = [storage.join(finished, f"{name}.parquet") for name in manifest.shards]
    paths += [storage.join(units_folder(manifest.dataset), f"{name}.parquet") for name in planned]
    known: set[str] = set()
    for path in paths:
        with storage.open_read(path) as file:
            known.update(pq.read_table(file, columns=["uid"]).column("uid").to_pylist())
    return known
