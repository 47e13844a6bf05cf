"""Score sets: columns that were computed of a dataset's samples, beside its shards.

    DATASET/scores/KIND/NAME/SHARD.parquet   uid and the kind's columns, a row per stored sample in
                                             the order of the shard's row table

KIND says what the columns are (`clip`, `text`, `image` …), NAME what they were computed with. A
table's metadata names its source, so that what was computed of another tar or model is seen. A
recipe names a column as KIND/NAME.COLUMN, or as KIND.COLUMN where the kind has one set.
"""

import hashlib
import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import STATS_SUFFIX, shard_names, shards_folder
from diagonal_infra import storage
from diagonal_infra.errors import UserError

SOURCE_KEY = b"diagonal_source"
"""Metadata key of a score table that names what it was computed from."""
UIDS_KEY = b"diagonal_uids"
"""Metadata key of the digest of its uids, by which a reader that has the row table's need not read
them again."""
TAR_KEY = b"diagonal_tar"
"""Metadata key of the SHA-256 of the tar that the shard had when it was scored."""


@dataclass(frozen=True, kw_only=True)
class ScoreSet:
    """One set of columns of a dataset."""

    dataset: str
    kind: str
    name: str

    @property
    def label(self) -> str:
        """As recipes and messages name it: `clip/demo`."""
        return f"{self.kind}/{self.name}"

    @property
    def folder(self) -> str:
        """Where its tables are."""
        return storage.join(self.dataset, "scores", self.kind, self.name)

    def path(self, shard: str) -> str:
        """A shard's table."""
        return storage.join(self.folder, f"{shard}.parquet")

    def schema(self, shard: str) -> pa.Schema | None:
        """Columns and metadata of a shard's table; None if there is no table.

        Raises:
            UserError: there is one, and it cannot be read.
        """
        if not storage.exists(self.path(shard)):
            return None
        try:
            return pq.read_schema(io.BytesIO(storage.read_bytes(self.path(shard))))
        except pa.ArrowInvalid as error:
            raise UserError(
                f"score table {self.path(shard)!r} cannot be read ({error}); delete it and make it "
                "again with the command that made it"
            ) from error

    def is_current(self, shard: str, source: str) -> bool:
        """Whether a shard's table is there, whole, and was computed from this source."""
        try:
            return self.source(shard) == source
        except UserError:  # half-written, by a copy that was cut off
            return False

    def source(self, shard: str) -> str | None:
        """What a shard's table was computed from; None if there is no table or it does not say."""
        schema = self.schema(shard)
        found = None if schema is None else (schema.metadata or {}).get(SOURCE_KEY)
        return None if found is None else found.decode()

    def write(self, shard: str, table: pa.Table, source: str) -> None:
        """Write a shard's table, whole or not at all."""
        metadata = {SOURCE_KEY: source.encode(), UIDS_KEY: uids_digest(table["uid"])}
        metadata |= {TAR_KEY: tar.encode()} if (tar := self._tar(shard)) else {}
        with storage.write_whole(self.path(shard)) as file:
            pq.write_table(table.replace_schema_metadata(metadata), file)

    def _tar(self, shard: str) -> str | None:
        path = storage.join(shards_folder(self.dataset), f"{shard}{STATS_SUFFIX}")
        return json.loads(storage.read_bytes(path))["sha256"] if storage.exists(path) else None


def uids_digest(uids: pa.ChunkedArray) -> bytes:
    """SHA-256 of a column of uids in order, however it is cut into chunks; all of 32 digits."""
    digest = hashlib.sha256()
    for chunk in uids.chunks:
        _, offsets, characters = chunk.cast(pa.string()).buffers()
        if len(chunk) and offsets is not None and characters is not None:
            ends = memoryview(offsets).cast("i")
            first, last = ends[chunk.offset], ends[chunk.offset + len(chunk)]
            digest.update(memoryview(characters)[first:last])
    return digest.hexdigest().encode()


def score_sets(dataset: str) -> list[ScoreSet]:
    """All sets of a dataset, by kind and name."""
    scores = storage.join(dataset, "scores")
    return [
        ScoreSet(dataset=dataset, kind=kind, name=name)
        for kind in storage.list_folders(scores)
        for name in storage.list_folders(storage.join(scores, kind))
    ]


def find_column(dataset: str, column: str) -> tuple[ScoreSet, str]:
    """The set and the column that `KIND/NAME.COLUMN` or `KIND.COLUMN` names.

    Raises:
        UserError: there is no such set, several of the kind, or no such column.
    """
    label, _, wanted = column.rpartition(".")
    known = score_sets(dataset)
    found = [each for each in known if label in (each.label, each.kind)]
    if len(found) != 1:
        names = ", ".join(each.label for each in found or known) or "none"
        problem = "names several score sets" if found else "names no score set"
        raise UserError(f"{column!r} {problem} of {dataset!r} as KIND/NAME.COLUMN; it has {names}")
    schemas = [found[0].schema(shard) for shard in shard_names(dataset)]
    columns = next((schema.names for schema in schemas if schema is not None), [])
    if wanted not in columns:
        raise UserError(
            f"score set {found[0].label} has no column {wanted!r}; it has "
            f"{', '.join(name for name in columns if name != 'uid') or 'no finished shard'}"
        )
    return found[0], wanted
