"""One scan: a recipe's conditions and keys as a query that DuckDB runs over all samples.

    rules ─► CASE WHEN first THEN CASE WHEN second THEN 0 ELSE … END ELSE reason's number END
    keys  ─► computed for samples that pass every rule, for the rules that compare samples

A condition that is null for a row drops it as REASON_unknown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from diagonal_data.filters.cache import Block, Cache
from diagonal_data.filters.columns import Catalogue
from diagonal_data.filters.config import Rule
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.ranks import Ranks
from diagonal_data.filters.rules import UNKNOWN, DropReason
from diagonal_data.filters.scan import ROW
from diagonal_data.filters.sql import Expression, parse
from diagonal_infra import log
from diagonal_infra.errors import UserError

VERDICT = "verdict"
HELD_OUT = "held_out"
"""Table of the values that the hold-out list names."""
BATCH_ROWS = 122_880
"""What a thread of the database takes at a time."""


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
    columns = {name: catalogue.find(name) for name in sorted(named | set(ranks.columns))}
    cache = Cache(catalogue.dataset, columns)
    schema = schema_for(cache.schema, ranks)
    check_types(connection, schema, [e for _, e in parsed], boolean=True)
    check_types(connection, schema, list(keys.values()), boolean=False)
    with log.progress() as progress:
        if ranks.columns:
            blocks = progress.track(cache, total=len(cache), description="count scores")
            ranks.count([block.samples.select(ranks.columns) for block in blocks])
        feed = _Feed(ranks, schema, query.shown)
        names, sql = _sql_for(parsed, keys, query)
        batches = feed.batches(progress.track(cache, total=len(cache), description="filter"))
        connection.register("samples", pa.RecordBatchReader.from_batches(schema, batches))
        try:
            found = connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            if feed.error is not None:
                raise feed.error from None
            raise UserError(f"the conditions cannot be computed: {error}") from error
    return _pool_of(catalogue.dataset, feed.taken, names, found)


class _Feed:
    """Hands the samples to the database, and keeps what it need not see."""

    def __init__(self, ranks: Ranks, schema: pa.Schema, shown: Sequence[str]) -> None:
        self._ranks, self._schema, self._shown = ranks, schema, shown
        self.taken: list[Block] = []
        """With the columns that are shown only."""
        self.error: UserError | None = None
        self._rows = 0

    def batches(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        try:
            for block in blocks:
                self.taken.append(replace(block, samples=block.samples.select(self._shown)))
                yield from self._samples(block)
        except UserError as error:
            # The database would pass its text on, and no more.
            self.error = error
            raise

    def _samples(self, block: Block) -> Iterator[pa.RecordBatch]:
        count = np.count_nonzero(block.reasons.indices.to_numpy() == 0)
        numbers = pa.table({ROW: np.arange(self._rows, self._rows + count)})
        self._rows += count
        ranked = with_rankings(block.samples, self._ranks)
        columns = [*ranked.columns, *numbers.columns]
        samples = pa.table(columns, [*ranked.column_names, ROW]).select(self._schema.names)
        yield from samples.to_batches(max_chunksize=BATCH_ROWS)


def with_rankings(samples: pa.Table, ranks: Ranks) -> pa.Table:
    """Samples with a column per ranking."""
    for ranking in ranks.rankings:
        ranked = ranks.of(ranking, samples[ranking.column])
        samples = samples.append_column(ranking.name, ranked)
    return samples


def schema_for(columns: pa.Schema, ranks: Ranks) -> pa.Schema:
    """Of the batches: columns, rankings, and the place of the row."""
    ranked = [
        (ranking.name, pa.bool_() if ranking.test else pa.float64()) for ranking in ranks.rankings
    ]
    return pa.schema([*columns, *(pa.field(*each) for each in ranked), (ROW, pa.int64())])


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
            described = connection.execute(f"DESCRIBE SELECT ({expression.sql}) FROM samples")
        except duckdb.Error as error:
            raise UserError(f"{expression.sql!r} does not fit the columns: {error}") from error
        kind = described.fetchall()[0][1]
        if boolean and kind != "BOOLEAN":
            raise UserError(
                f"{expression.sql!r} is no condition: it gives {kind}; compare it with something"
            )
    connection.unregister("samples")


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
    chosen = [f'CASE WHEN {VERDICT} = 0 THEN ({e.sql}) END AS "{name}"' for name, e in keys.items()]
    return names, (
        f"SELECT {', '.join([ROW, VERDICT, *chosen])} "
        f"FROM (SELECT *, ({verdict})::SMALLINT AS {VERDICT} FROM samples)"
    )


def _pool_of(dataset: str, blocks: Sequence[Block], names: list[str], found: pa.Table) -> Pool:
    """Every row in order: those never asked about have the reason they came with."""
    order = found[ROW].to_numpy()
    if (order[1:] < order[:-1]).any():
        # The database keeps the order of one table, but not that of a join with a list.
        found = found.take(pa.array(np.argsort(order)))
    known = {name for block in blocks for name in block.reasons.dictionary.to_pylist()}
    # A reason of two rules is one reason.
    all_names = list(dict.fromkeys([*names, *sorted(known)]))
    codes = np.concatenate([_codes(block.reasons, all_names) for block in blocks])
    is_sample = codes == 0
    verdicts = found[VERDICT].to_numpy()
    if names != all_names[: len(names)]:
        verdicts = np.array([all_names.index(name) for name in names], np.int16)[verdicts]
    codes[is_sample] = verdicts
    shown = pa.concat_tables(block.samples for block in blocks)
    values = found.drop_columns([ROW, VERDICT])
    for name in shown.column_names:
        values = values.append_column(name, shown[name])
    return Pool(
        dataset=dataset,
        uids=np.concatenate([block.uids for block in blocks]),
        codes=codes,
        names=all_names,
        shards={name: rows for block in blocks for name, rows in block.shards.items()},
        values=values,
        is_sample=is_sample,
    )


def _codes(reasons: pa.DictionaryArray, names: Sequence[str]) -> np.ndarray:
    """Places of reasons in `names`; int16."""
    places = np.array([names.index(name) for name in reasons.dictionary.to_pylist()], np.int16)
    return places[reasons.indices.to_numpy()]
