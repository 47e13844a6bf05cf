"""The plan of a dataset: which candidates go into which shard.

    candidates in order → minus those planned before → units/00000007.parquet, one per shard to come

A unit file is written before its shard is begun and removed when the shard is finished, so a
candidate is always in exactly one of: a unit file, a finished row table, the input. That is why a
run can be killed at any instant, and why the input may grow or be reordered between runs: what is
known by uid keeps its shard, what is new goes into new shards.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.retries import RETRY_SCHEMA, open_retry_list
from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_data.uid_set import MalformedUidError, UidSet, packed_uids
from diagonal_infra import run_dir, storage
from diagonal_infra.errors import UserError

REQUIRED = ("uid", "url", "caption")
PLANNED = ".planned.json"
RETRY_PASS = "retry_pass"
"""Key in the Parquet metadata of a unit file that was cut from a retry list."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One shard's work: its name and the Parquet file with its candidates."""

    shard: str
    path: str
    retry_pass: int = 0
    """0 for candidates that are fetched for the first time."""

    def __str__(self) -> str:
        return self.shard


def units_folder(dataset: str) -> str:
    """`DATASET/units`, empty once the dataset is finished."""
    return storage.join(dataset, "units")


def check_candidates(candidates: str) -> list[str]:
    """The files of a folder or pattern, in order, checked before any work starts.

    Raises:
        UserError: no file, no row, not Parquet, of another schema, or without some uid.
    """
    paths = [path for path in storage.expand(candidates) if path.endswith(".parquet")]
    if not paths:
        raise UserError(f"no Parquet files in {candidates!r}; make them with 'make candidates'")
    if sum(_checked_rows(path) for path in paths) == 0:
        raise UserError(f"no candidates in {candidates!r}: all its files are empty")
    return paths


def write_units(
    manifest: Manifest, candidates: Sequence[str], samples_per_shard: int, *, retry: bool = False
) -> list[Unit]:
    """Plan what is not planned yet; returns every unit whose shard is unfinished.

    They come in order, retries last. With `retry`, the rows that failed for a passing reason are
    planned too.

    Args:
        candidates: paths that `check_candidates` has passed.

    Raises:
        UserError: a candidate file cannot be read as such after all.
    """
    folder = units_folder(manifest.dataset)
    storage.delete_partials(folder)
    # Fixed before anything is fetched: what fails in this run is for the next retry.
    retries = open_retry_list(manifest) if retry else None
    units = planned_units(manifest)
    taken = [*manifest.shards, *(unit.shard for unit in units)]
    numbers = itertools.count(max(map(int, taken), default=-1) + 1)
    plans = [(0, _batches(candidates, CANDIDATE_SCHEMA), _uids_of(manifest, units))]
    if retries is not None:
        done = _uids_of(manifest, units, retries.retry_pass)
        plans.append((retries.retry_pass, _batches([retries.path], RETRY_SCHEMA), done))
    for retry_pass, batches, known in plans:
        for table in plan_units(batches, known, samples_per_shard):
            units.append(_write_unit(folder, f"{next(numbers):08d}", table, retry_pass))
    return _in_order(units)


def units_of_plan(
    manifest: Manifest, candidates: Sequence[str], samples_per_shard: int
) -> list[Unit]:
    """As `write_units`, but candidates that are as they were when last planned are not read.

    For commands that take turns: the first one plans. DATASET/.planned.json tells the others of
    which files, and how many shards there were, so that deleted ones are missed.
    """
    path = storage.join(manifest.dataset, PLANNED)
    files = [[name, storage.size(name), storage.modified(name)] for name in candidates]

    def record(units: list[Unit]) -> bytes:
        return run_dir.to_json({"files": files, "shards": len(manifest.shards) + len(units)})

    units = _in_order(planned_units(manifest))
    if not storage.exists(path) or storage.read_bytes(path) != record(units):
        units = write_units(manifest, candidates, samples_per_shard)
        storage.write_bytes(path, record(units))
    return units


def _in_order(units: Iterable[Unit]) -> list[Unit]:
    """Retries last."""
    return sorted(units, key=lambda unit: (unit.retry_pass > 0, unit.shard))


def plan_units(batches: Iterable[pa.RecordBatch], known: UidSet, size: int) -> Iterator[pa.Table]:
    """Cut the candidates that are not in `known` into tables of `size` rows, in order.

    `known` grows by every uid met, so a uid is planned once however often it is listed.
    """
    waiting: list[pa.Table] = []
    count = 0
    for batch in batches:
        is_new = known.add(packed_uids(batch.column("uid")))
        if not is_new.any():
            continue
        waiting.append(pa.Table.from_batches([batch]).filter(pa.array(is_new)))
        count += waiting[-1].num_rows
        while count >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size)
            waiting, count = [joined.slice(size)], count - size
    if count:
        yield pa.concat_tables(waiting)


def read_unit(unit: Unit) -> pa.Table:
    """The unit's candidates: `CANDIDATE_SCHEMA`, and `previous_reason` if they are retried."""
    return read_parquet(unit.path)


def retried_reasons(unit: Unit) -> dict[str, int]:
    """How a retry's rows ended before, by reason; empty for a first fetch."""
    if not unit.retry_pass:
        return {}
    reasons = read_parquet(unit.path, ["previous_reason"])["previous_reason"]
    return dict(sorted(Counter(reasons.to_pylist()).items()))


def first_urls(candidates: Iterable[str]) -> Iterator[str]:
    """The URLs of the first row group that has any; null ones are empty."""
    for path in candidates:
        with storage.open_read(path) as opened:
            file = pq.ParquetFile(opened)
            if file.metadata.num_rows:
                for batch in file.iter_batches(row_groups=[0], columns=["url"], use_threads=False):
                    yield from (url or "" for url in batch.column(0).to_pylist())
                return


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
            if _null_count(file, "uid"):
                raise UserError(f"column uid of {path!r} has null values; {hint}")
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
            return file.read(columns=[name], use_threads=False)[name].null_count
        nulls += statistics.null_count
    return nulls


def _batches(paths: Iterable[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Candidates with exactly these columns; absent ones are null, null texts empty."""
    for path in paths:
        with _blaming(path), storage.open_read(path) as opened:
            file = pq.ParquetFile(opened)
            present = [name for name in schema.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=present, use_threads=False):
                # Here, where the file's name is known.
                packed_uids(batch.column("uid"))
                columns = [
                    _filled(batch.column(field.name).cast(field.type), field)
                    if field.name in present
                    else pa.nulls(batch.num_rows, field.type)
                    for field in schema
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _filled(column: pa.Array, field: pa.Field) -> pa.Array:
    """A null URL or caption is an empty one, which ends as a row with its reason."""
    return column if field.nullable else pc.fill_null(column, "")


@contextmanager
def _blaming(path: str) -> Iterator[None]:
    try:
        yield
    except MalformedUidError as error:
        raise UserError(
            f"{path!r} has the uid {error}, a uid is 32 hex digits; make candidates of it with "
            f"'python -m diagonal_data.candidates urls --input {path}'"
        ) from error
    except pa.ArrowException as error:
        raise UserError(f"{path!r} cannot be read as candidates: {error}") from error


def _write_unit(folder: str, shard: str, table: pa.Table, retry_pass: int) -> Unit:
    unit = Unit(shard=shard, path=storage.join(folder, f"{shard}.parquet"), retry_pass=retry_pass)
    metadata = {RETRY_PASS: str(retry_pass)} if retry_pass else None
    with storage.write_whole(unit.path) as file:
        pq.write_table(table.replace_schema_metadata(metadata), file)
    return unit


def planned_units(manifest: Manifest) -> list[Unit]:
    """Units whose file is there; the file of a finished shard is a kill's leftover and goes."""
    folder = units_folder(manifest.dataset)
    units = []
    for file_name in storage.list_files(folder, ".parquet"):
        shard, path = file_name.removesuffix(".parquet"), storage.join(folder, file_name)
        if shard in manifest.shards:
            storage.delete(path)
            continue
        with storage.open_read(path) as file:
            retry_pass = int((pq.read_schema(file).metadata or {}).get(RETRY_PASS.encode(), 0))
        units.append(Unit(shard=shard, path=path, retry_pass=retry_pass))
    return units


def _uids_of(manifest: Manifest, units: Iterable[Unit], retry_pass: int | None = None) -> UidSet:
    """What stands in finished shards and in units, of that pass or of all."""
    folder = shards_folder(manifest.dataset)
    passes = {
        storage.join(folder, f"{name}.parquet"): info.retry_pass
        for name, info in manifest.shards.items()
    } | {unit.path: unit.retry_pass for unit in units}
    known = UidSet()
    for path in (p for p, of_pass in passes.items() if retry_pass in (None, of_pass)):
        with _blaming(path), storage.open_read(path) as file:
            uids = pq.ParquetFile(file).iter_batches(columns=["uid"], use_threads=False)
            for batch in uids:
                known.add(packed_uids(batch.column(0)))
    return known
