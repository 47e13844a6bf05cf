"""One scan: a recipe's conditions and keys as a query that DuckDB runs over all samples.

    rules ─► CASE WHEN first THEN CASE WHEN second THEN 0 ELSE … END ELSE reason's number END
    keys  ─► computed for samples that pass every rule, for the rules that compare samples

A condition that is null for a row drops it as REASON_unknown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from rich.progress import Progress

from diagonal_data.filters.columns import HOST, HOST_SQL, Catalogue
from diagonal_data.filters.config import Rule
from diagonal_data.filters.pool import Pool, codes_for
from diagonal_data.filters.ranks import Ranks
from diagonal_data.filters.rules import UNKNOWN, DropReason
from diagonal_data.filters.scan import ROW, Scan, ShardRows, score_values
from diagonal_data.filters.sql import Expression, parse
from diagonal_infra import log
from diagonal_infra.errors import UserError

VERDICT = "verdict"
HELD_OUT = "held_out"
"""Table of the values that the hold-out list names."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of every sample."""

    rules: Sequence[Rule]
    keys: Mapping[str, str]
    """Name to SQL."""
    held_out: tuple[str, pa.ChunkedArray] | None = None
    """A column and the values of it that are kept for evaluation."""
    shown: Sequence[str] = ()
    """Columns whose values are wanted for all samples, under their own names."""


def run_query(query: Query, catalogue: Catalogue, connection: duckdb.DuckDBPyConnection) -> Pool:
    """The rows with their first reasons and keys.

    Raises:
        UserError: an expression that cannot be computed, or scores that do not fit the dataset.
    """
    parsed = [(rule, parse(connection, rule.keep)) for rule in query.rules]
    keys = {name: parse(connection, sql) for name, sql in query.keys.items()}
    expressions = [*(expression for _, expression in parsed), *keys.values()]
    ranks = Ranks(ranking for expression in expressions for ranking in expression.rankings)
    named = set(query.shown).union(*(expression.columns for expression in expressions))
    if query.held_out is not None:
        named.add(query.held_out[0])
        connection.register(HELD_OUT, pa.table({"value": query.held_out[1].drop_null()}))
    # The host is computed of the URL, in the query.
    named = {"url" if name == HOST else name for name in named | set(ranks.columns)}
    columns = {name: catalogue.find(name) for name in sorted(named)}
    scan = Scan(catalogue.dataset, columns)
    schema = schema_for(scan, ranks)
    check_types(connection, schema, [e for _, e in parsed], boolean=True)
    check_types(connection, schema, list(keys.values()), boolean=False)
    with log.progress() as progress:
        count_ranks(scan, ranks, progress)
        feed = _Feed(scan, ranks, schema, progress)
        names, sql = _sql_for(parsed, keys, query)
        connection.register("samples", pa.RecordBatchReader.from_batches(schema, feed.batches()))
        try:
            found = connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            if feed.error is not None:
                raise feed.error from None
            raise UserError(f"the conditions cannot be computed: {error}") from error
    return _pool_of(catalogue.dataset, feed, names, found)


class _Feed:
    """Hands the samples to the database, and keeps what it need not see."""

    def __init__(self, scan: Scan, ranks: Ranks, schema: pa.Schema, progress: Progress) -> None:
        self._scan, self._ranks, self._schema, self._progress = scan, ranks, schema, progress
        self.uids: list[pa.ChunkedArray] = []
        self.reasons: list[pa.ChunkedArray] = []
        self.shards: dict[str, int] = {}
        self.error: UserError | None = None
        self.rows = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        try:
            shards = self._progress.track(
                self._scan.shards(), total=len(self._scan.passes), description="filter"
            )
            for shard in shards:
                yield from self._samples(shard)
        except UserError as error:
            # The database would pass its text on, and no more.
            self.error = error
            raise

    def _samples(self, shard: ShardRows) -> Iterator[pa.RecordBatch]:
        samples = with_rankings(shard.samples, self._ranks)
        place = pa.array(samples[ROW].to_numpy() + self.rows)
        samples = samples.set_column(samples.column_names.index(ROW), ROW, place)
        self.uids.append(shard.uids)
        self.reasons.append(shard.reasons)
        self.shards[shard.name] = len(shard.uids)
        self.rows += len(shard.uids)
        yield from samples.select(self._schema.names).combine_chunks().to_batches()


def with_rankings(samples: pa.Table, ranks: Ranks) -> pa.Table:
    """Samples with a column per ranking."""
    for ranking in ranks.rankings:
        ranked = ranks.of(ranking, samples[ranking.column])
        samples = samples.append_column(ranking.name, ranked)
    return samples


def schema_for(scan: Scan, ranks: Ranks) -> pa.Schema:
    """Of the batches: columns, rankings, and the place of the row."""
    ranked = [
        (ranking.name, pa.bool_() if ranking.test else pa.float64()) for ranking in ranks.rankings
    ]
    return pa.schema([*scan.schema, *(pa.field(*each) for each in ranked), (ROW, pa.int64())])


def count_ranks(scan: Scan, ranks: Ranks, progress: Progress) -> None:
    """A look at the ranked columns alone; at the row tables only where some rows do not count."""
    if not ranks.columns:
        return
    columns = {name: scan.columns[name] for name in ranks.columns}
    if scan.counts_every_score and all(column.scores for column in columns.values()):
        ranks.count(
            {
                name: score_values(column.scores, column.name, scan.passes)
                for name, column in columns.items()
                if column.scores
            }
        )
        return
    shards = progress.track(
        Scan(scan.dataset, columns).shards(), total=len(scan.passes), description="count scores"
    )
    parts = [shard.samples for shard in shards]
    ranks.count({name: [part[name] for part in parts] for name in columns})


def check_types(
    connection: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    expressions: Sequence[Expression],
    *,
    boolean: bool,
) -> None:
    """Bind every expression to the columns before anything is read.

    Raises:
        UserError: an expression does not fit the columns' types, or a condition is no condition.
    """
    connection.register("samples", schema.empty_table())
    for expression in expressions:
        try:
            source = source_for(HOST in expression.columns)
            described = connection.execute(f"DESCRIBE SELECT ({expression.sql}) FROM {source}")
        except duckdb.Error as error:
            raise UserError(f"{expression.sql!r} does not fit the columns: {error}") from error
        kind = described.fetchall()[0][1]
        if boolean and kind != "BOOLEAN":
            raise UserError(
                f"{expression.sql!r} is no condition: it gives {kind}; compare it with something"
            )
    connection.unregister("samples")


def source_for(with_host: bool) -> str:
    """What the query reads."""
    return f"(SELECT *, {HOST_SQL} AS {HOST} FROM samples)" if with_host else "samples"


def _sql_for(
    rules: Sequence[tuple[Rule, Expression]], keys: Mapping[str, Expression], query: Query
) -> tuple[list[str], str]:
    """The reasons by number, and the query."""
    names, conditions = [""], [(rule.reason, e.sql) for rule, e in rules]
    if query.held_out is not None:
        column = query.held_out[0]
        listed = f"coalesce({column} NOT IN (SELECT value FROM {HELD_OUT}), true)"
        conditions.insert(0, (DropReason.HELD_OUT, listed))
    for reason, _ in conditions:
        names += [reason, reason + UNKNOWN]
    verdict = "0"
    for number in range(len(conditions), 0, -1):
        sql, failed = conditions[number - 1][1], 2 * number - 1
        unknown = f"CASE WHEN ({sql}) IS NULL THEN {failed + 1} ELSE {failed} END"
        verdict = f"CASE WHEN ({sql}) THEN {verdict} ELSE {unknown} END"
    expressions = [*(e for _, e in rules), *keys.values()]
    source = source_for(any(HOST in e.columns for e in expressions))
    chosen = [f'CASE WHEN {VERDICT} = 0 THEN ({e.sql}) END AS "{name}"' for name, e in keys.items()]
    wanted = [*chosen, *(f'{name} AS "{name}"' for name in query.shown)]
    return names, (
        f"SELECT {', '.join([ROW, VERDICT, *wanted])} "
        f"FROM (SELECT *, ({verdict})::SMALLINT AS {VERDICT} FROM {source})"
    )


def _pool_of(dataset: str, feed: _Feed, names: list[str], found: pa.Table) -> Pool:
    """Every row in order: those never asked about have the reason they came with."""
    uids = pa.chunked_array([c for part in feed.uids for c in part.chunks], pa.string())
    reasons = pa.chunked_array([c for part in feed.reasons for c in part.chunks], pa.string())
    known = [name for name in reasons.unique().to_pylist() if name is not None]
    # A reason of two rules is one reason.
    all_names = list(dict.fromkeys([*names, *sorted(known)]))
    codes = codes_for(reasons, all_names)
    place = found[ROW].to_numpy()
    numbers = np.array([all_names.index(name) for name in names], np.int16)
    codes[place] = numbers[found[VERDICT].to_numpy()]
    places = np.full(feed.rows, -1, np.int64)
    places[place] = np.arange(len(place))
    return Pool(
        dataset=dataset,
        uids=uids,
        codes=codes,
        names=all_names,
        shards=feed.shards,
        values=found.drop_columns([ROW, VERDICT]),
        places=places,
    )
