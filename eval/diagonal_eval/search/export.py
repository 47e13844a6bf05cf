"""A dataset's embeddings as a table for vector databases, shard by shard.

    uid, url, caption, key, shard   strings
    image, text                     fixed_size_list<float32 or float16>[D], as long as they are: 1

    parquet   OUTPUT/SHARD.parquet, a file per shard; one that is there and current is left alone
    lance     OUTPUT, one table, which appears as a new version when all of it is written

Left out: what is taken down or was fetched again later, and samples without embeddings. A file
names what it was made from, so that the same command after a takedown or with more shards does
what is left to do, and removes files of shards that are gone.

Shape suffixes: N samples, D width.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from diagonal_data.rows import taken_down
from diagonal_data.tombstones import TAKEDOWN_COLUMNS
from diagonal_eval.dataset import content_digest
from diagonal_eval.explore.snapshot import Snapshot, read_snapshot
from diagonal_eval.search.config import ExportConfig
from diagonal_eval.search.sources import has_vector, open_rows, said
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError

TEXTS = ("uid", "url", "caption", "key")
COLUMNS = tuple(dict.fromkeys((*TEXTS, *TAKEDOWN_COLUMNS)))
VECTORS = ("image", "text")
MADE_OF = b"diagonal_export"
"""Metadata key of a file that names what it was made from."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the samples."""

    samples: int = 0
    taken_down: int = 0
    without_vector: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            samples=self.samples + other.samples,
            taken_down=self.taken_down + other.taken_down,
            without_vector=self.without_vector + other.without_vector,
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """A shard's samples that are exported."""

    shard: str
    rows: pa.Table
    numbers_N: NDArray[np.int64]
    """Of their rows in the shard's embeddings."""
    vectors: dict[str, NDArray[np.floating]]
    counts: Counts

    def batches(self, schema: pa.Schema, count: int) -> Iterator[pa.RecordBatch]:
        """Its rows, `count` at a time."""
        for start in range(0, len(self.numbers_N), count):
            numbers_N = self.numbers_N[start : start + count]
            rows = self.rows.slice(start, count).combine_chunks()
            columns: list[Any] = [rows[name].combine_chunks() for name in TEXTS]
            columns.append(pa.array([self.shard] * len(numbers_N)))
            for name in VECTORS:
                kind = schema.field(name).type
                vectors_ND = self.vectors[name][numbers_N].astype(kind.value_type.to_pandas_dtype())
                columns.append(pa.FixedSizeListArray.from_arrays(vectors_ND.reshape(-1), type=kind))
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def export(config: ExportConfig) -> Counts:
    """Write the table.

    Raises:
        UserError: no dataset or embeddings, a folder with other files, or no package for lance.
    """
    snapshot = read_snapshot(config.dataset)
    lance = load_lance() if config.format == "lance" else None
    schema = schema_for(config, snapshot)
    return (
        _write_parquet(config, snapshot, schema)
        if lance is None
        else _write_lance(config, snapshot, schema, lance)
    )


def load_lance() -> Any:
    """The module.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("lance")
    except ModuleNotFoundError as error:
        raise UserError(
            f"--format lance needs pylance, which is not installed ({error}); install it with "
            "'pip install \"diagonal[lance]\"', or choose --format parquet"
        ) from error


def schema_for(config: ExportConfig, snapshot: Snapshot) -> pa.Schema:
    """The table's columns; the width is that of the first shard with samples."""
    widths = (
        open_rows(config.dataset, config.name, shard, "image").shape[1] for shard in snapshot.names
    )
    width = next((width for width in widths if width), 0)
    if not width:
        raise UserError(f"embeddings {config.name!r} of {config.dataset!r} hold nothing")
    vector = pa.list_(pa.from_numpy_dtype(np.dtype(config.dtype)), width)
    texts = [pa.field(name, pa.string()) for name in (*TEXTS, "shard")]
    return pa.schema([*texts, *(pa.field(name, vector) for name in VECTORS)])


def read_part(config: ExportConfig, snapshot: Snapshot, shard: str, width: int) -> Part:
    """What is exported of a shard; vectors stay where they are until they are asked for.

    Raises:
        UserError: its embeddings are missing, broken, of other samples or of another width.
    """
    rows = snapshot.stored_rows(shard, COLUMNS)
    vectors = {name: open_rows(config.dataset, config.name, shard, name) for name in VECTORS}
    uids = open_rows(config.dataset, config.name, shard, "uid").tolist()
    shapes = {name: rows_ND.shape for name, rows_ND in vectors.items()}
    if uids != rows["uid"].to_pylist() or set(shapes.values()) != {(rows.num_rows, width)}:
        raise UserError(
            f"embeddings {config.name!r} of shard {shard} are of other samples or another model "
            f"({shapes} for {rows.num_rows} samples, {width} wide); run 'make scores' again"
        )
    gone_N = taken_down(config.dataset, rows)
    latest = snapshot.latest(shard, rows["uid"])
    gone_N = gone_N if latest is None else gone_N | ~latest
    there_N = has_vector(vectors["image"]) & has_vector(vectors["text"])
    numbers_N = np.flatnonzero(there_N & ~gone_N)
    return Part(
        shard=shard,
        rows=rows.take(pa.array(numbers_N)),
        numbers_N=numbers_N,
        vectors=vectors,
        counts=Counts(
            samples=len(numbers_N),
            taken_down=int(gone_N.sum()),
            without_vector=int((~there_N & ~gone_N).sum()),
        ),
    )


def _write_parquet(config: ExportConfig, snapshot: Snapshot, schema: pa.Schema) -> Counts:
    names = {f"{shard}.parquet" for shard in snapshot.names}
    for name in sorted(set(storage.list_files(config.output, ".parquet")) - names):
        if _made_of(storage.join(config.output, name)) is None:
            raise UserError(f"{config.output!r} holds {name}, which is no export; choose another")
        storage.delete(storage.join(config.output, name))
    total, width = Counts(), schema.field("image").type.list_size
    with log.progress() as bar:
        for shard in bar.track(snapshot.names, description="export"):
            part = read_part(config, snapshot, shard, width)
            total += part.counts
            _write_file(config, part, schema)
    return total


def _write_file(config: ExportConfig, part: Part, schema: pa.Schema) -> None:
    path = storage.join(config.output, f"{part.shard}.parquet")
    source = said(config.dataset, config.name, part.shard)[0]
    uids = part.rows["uid"].to_pylist()
    made_of = content_digest(source, str(schema), str(config.rows_per_group), *uids)
    if _made_of(path) == made_of:
        return
    schema = schema.with_metadata({MADE_OF: made_of.encode()})
    with storage.write_whole(path) as file, pq.ParquetWriter(file, schema) as writer:
        for batch in part.batches(schema, config.rows_per_group):
            writer.write_batch(batch, row_group_size=config.rows_per_group)


def _made_of(path: str) -> str | None:
    """What a file was made from; None if there is none, or it is none of ours."""
    if not storage.exists(path):
        return None
    try:
        with storage.open_read(path) as file:
            metadata = pq.read_schema(file).metadata or {}
    except pa.ArrowException:
        return None
    return metadata[MADE_OF].decode() if MADE_OF in metadata else None


def _write_lance(config: ExportConfig, snapshot: Snapshot, schema: pa.Schema, lance: Any) -> Counts:
    total, width = Counts(), schema.field("image").type.list_size

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal total
        with log.progress() as bar:
            for shard in bar.track(snapshot.names, description="export"):
                part = read_part(config, snapshot, shard, width)
                total += part.counts
                yield from part.batches(schema, config.rows_per_group)

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    lance.write_dataset(reader, config.output, schema=schema, mode="overwrite")
    return total
