"""A recipe applied: conditions in one scan, then the rules that compare samples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.filters.columns import Catalogue
from diagonal_data.filters.config import FiltersConfig, HoldOut
from diagonal_data.filters.inputs import check_list, describe_inputs
from diagonal_data.filters.nearest import drop_far
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.query import Query, run_query
from diagonal_data.filters.rules import rules_for
from diagonal_data.filters.sql import parse, sandbox
from diagonal_data.filters.steps import apply_steps, keys_for
from diagonal_data.parquet import read_parquet
from diagonal_infra.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What a recipe gives."""

    pool: Pool
    inputs: Mapping[str, str]
    scores: tuple[str, ...]
    """Names of the score columns used that are numbers."""


def select(config: FiltersConfig) -> Selected:
    """The rows of the dataset, each kept or with its first reason.

    Raises:
        UserError: something that the recipe needs is missing or does not fit.
    """
    catalogue, connection = Catalogue(config.dataset), sandbox()
    rules = rules_for(config, catalogue, connection)
    keys = keys_for(config, catalogue)
    columns = {
        name: catalogue.find(name)
        for sql in (*(rule.keep for rule in rules), *keys.values())
        for expression in [parse(connection, sql)]
        for name in {*expression.columns, *(ranking.column for ranking in expression.rankings)}
    }
    sets = [column.scores for column in columns.values() if column.scores]
    # Inputs are described before they are read: a change in between makes the filter stale.
    inputs = describe_inputs(
        config.dataset,
        sets,
        (
            config.hold_out.list,
            f"embeddings/{config.nearest.embeddings}" if config.nearest.embeddings else "",
            config.nearest.centroids if config.nearest.embeddings else "",
            config.nearest.targets if config.nearest.embeddings else "",
        ),
    )
    shown = tuple(sorted(name for name, column in columns.items() if column.scores))
    query = Query(rules=rules, keys=keys, held_out=held_out(config.hold_out), shown=shown)
    pool = run_query(query, catalogue, connection)
    drop_far(pool, config.nearest)
    apply_steps(pool, config)
    return Selected(pool=pool, inputs=inputs, scores=shown)


def held_out(rule: HoldOut) -> tuple[str, pa.ChunkedArray] | None:
    """`uid` or `url`, and the values of it that the hold-out list names; None without a list.

    Raises:
        UserError: the list is missing or lacks the columns named.
    """
    if not rule.list:
        return None
    check_list(rule.list, "--hold-out.list")
    listed = read_parquet(rule.list)
    join_key = "uid" if "uid" in listed.column_names else "url"
    missing = [name for name in (join_key, *rule.columns) if name not in listed.column_names]
    if missing:
        raise UserError(
            f"hold-out list {rule.list!r} lacks {', '.join(missing)} "
            f"(it has {', '.join(listed.column_names)}); check --hold-out.columns"
        )
    if rule.columns:
        chosen = np.any([np.asarray(listed[name]) for name in rule.columns], axis=0)
        listed = listed.filter(pa.array(chosen))
    return join_key, listed[join_key]
