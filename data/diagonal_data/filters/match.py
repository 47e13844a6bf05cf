"""Which samples meet one condition, some shards at a time: for a look, where a filter is for good.

    groups of 1, 2, 4 … 64 shards ─► one query each ─► places and values of the samples that match

So the first matches of a common condition are there after one shard, and all of a rare one after
about as long as a filter takes. A caller that has seen enough stops asking.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from diagonal_data.filters.cache import Cache
from diagonal_data.filters.columns import Catalogue
from diagonal_data.filters.query import check_types, schema_for, with_rankings
from diagonal_data.filters.ranks import Ranks
from diagonal_data.filters.scan import ROW, Scan
from diagonal_data.filters.sql import parse, sandbox
from diagonal_infra.errors import UserError

MOST_SHARDS = 64
"""Shards of one query: enough that its fixed cost does not count."""


class Deadline:
    """A moment after which work stops."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; 0 when it is past."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True, kw_only=True)
class Matches:
    """What the shards of one group have."""

    shards: Sequence[str]
    """Looked at whole."""
    places: np.ndarray
    """Of the samples that match, in order: place of the shard's first row + number of the row."""
    values: np.ndarray
    """Of the column to sort by, float64, NaN for none; empty without one."""


class Condition:
    """One condition over the samples of a dataset."""

    def __init__(self, dataset: str, text: str, sort: str = "") -> None:
        """Check the condition, and count what its quantiles need.

        Raises:
            UserError: it is no condition over columns that there are; `sort` is no number.
        """
        catalogue = Catalogue(dataset)
        self.text, self.sort = text, sort
        with sandbox() as connection:
            self._expression = parse(connection, text)
            self._ranks = Ranks(self._expression.rankings)
            named = {*self._expression.columns, *self._ranks.columns, *([sort] if sort else [])}
            columns = {name: catalogue.find(name) for name in sorted(named)}
            self._scan = Scan(dataset, columns)
            self._schema = schema_for(self._scan.schema, self._ranks)
            check_types(connection, self._schema, [self._expression], boolean=True)
        if sort and not is_number(self._schema.field(sort).type):
            raise UserError(f"{sort!r} is no number to sort by")
        if self._ranks.columns:
            ranked = {name: columns[name] for name in self._ranks.columns}
            self._ranks.count([block.samples for block in Cache(dataset, ranked)])

    def search(
        self, names: Sequence[str], starts: Mapping[str, int], deadline: Deadline
    ) -> Iterator[Matches]:
        """Matches in these shards, in order, until the deadline.

        Raises:
            UserError: the condition cannot be computed, or one group takes longer than that.
        """
        size, at = 1, 0
        with sandbox() as connection:
            while at < len(names) and deadline.left:
                group = names[at : at + size]
                samples = pa.concat_tables(self._samples(group, starts))
                connection.register("samples", samples)
                found = self._query(connection, deadline)
                connection.unregister("samples")
                values = found["value"].to_numpy() if self.sort else np.empty(0)
                yield Matches(shards=group, places=found[ROW].to_numpy(), values=values)
                at, size = at + size, min(2 * size, MOST_SHARDS)

    def _samples(self, group: Sequence[str], starts: Mapping[str, int]) -> Iterator[pa.Table]:
        """What the query reads of each shard, with places in place of row numbers."""
        for shard in self._scan.shards(group):
            place = pa.array(shard.samples[ROW].to_numpy() + starts[shard.name])
            samples = with_rankings(shard.samples, self._ranks)
            index = samples.column_names.index(ROW)
            yield samples.set_column(index, ROW, place).select(self._schema.names)

    def _query(self, connection: duckdb.DuckDBPyConnection, deadline: Deadline) -> pa.Table:
        wanted = f', "{self.sort}"::DOUBLE AS value' if self.sort else ""
        query = f"SELECT {ROW}{wanted} FROM samples WHERE ({self._expression.sql}) ORDER BY {ROW}"
        try:
            with _interrupted_at(deadline, connection):
                return connection.sql(query).to_arrow_table()
        except duckdb.InterruptException as error:
            raise UserError(
                f"{self.text!r} takes longer than {deadline.seconds:g} seconds; write a plainer one"
            ) from error
        except duckdb.Error as error:
            raise UserError(f"{self.text!r} cannot be computed: {error}") from error


def is_number(kind: pa.DataType) -> bool:
    """Whether values of a type can be compared with a threshold."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


@contextmanager
def _interrupted_at(deadline: Deadline, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    # Reading may have used the time up; the query itself gets a second at least.
    timer = threading.Timer(max(deadline.left, 1.0), connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
