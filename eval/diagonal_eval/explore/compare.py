"""Comparing: thresholds on a column, two filters, clusters of copies."""

from itertools import pairwise
from typing import Annotated

from fastapi import Query

from diagonal_eval.explore.asked import Explore, Few, Found, Name, Start
from diagonal_eval.explore.cards import plain
from diagonal_eval.explore.diff import filter_names, spread
from diagonal_eval.explore.explorer import View
from diagonal_eval.explore.values import CLUSTER, Values

PREFERRED = "clip_similarity"


def histogram(explorer: Explore, column: Name = "", threshold: float | None = None) -> Found:
    """Counts of a column; at_or_above[i] samples have edges[i] or more."""
    view = explorer.view
    columns = view.numeric_columns()
    column = column or (PREFERRED if PREFERRED in columns else next(iter(columns)))
    values = view.values(column.lower())
    edges = values.edges()
    reached = [values.at_or_above(edge) for edge in edges]
    if threshold is None:
        threshold = (
            float(values.by_place[values.order[len(values.order) // 2]]) if len(edges) else 0
        )
    return {
        "column": column,
        "columns": columns,
        "samples": values.samples,
        "known": len(values.order),
        "missing": values.missing,
        "edges": edges.tolist(),
        "at_or_above": reached,
        "bars": bars(reached, len(values.order)),
        **next_to(view, values, threshold, 12),
    }


def bars(reached: list[int], known: int) -> list[int]:
    """Counts of the bins; what is beyond the range counts for the first and the last."""
    inner = [known, *reached[1:-1], 0]
    return [more - less for more, less in pairwise(inner)] if reached else []


def around(explorer: Explore, column: Name, threshold: float, count: Few = 12) -> Found:
    """What a threshold keeps, and the samples next to it."""
    view = explorer.view
    return next_to(view, view.values(column.lower()), threshold, count)


def next_to(view: View, values: Values, threshold: float, count: int) -> Found:
    """What a threshold keeps, and the cards of the samples just above and just below it."""
    known = len(values.order)
    kept = values.at_or_above(threshold)
    below, above = values.around(threshold, count)
    return {
        "threshold": plain(threshold),
        "at_or_above_threshold": kept,
        "share": kept / known if known else 0.0,
        **{
            name: view.rows.cards(places, {values.name: values.by_place[places].tolist()})
            for name, places in (("above", above), ("below", below))
        },
    }


def diff(explorer: Explore, a: Name = "", b: Name = "", count: Few = 12) -> Found:
    """Filter a against filter b."""
    view = explorer.view
    found = {"a": a, "b": b, "filters": filter_names(explorer.dataset), "groups": {}, "absent": {}}
    if not a or not b:
        return found
    compared = view.diff(a, b)
    groups = {
        name: {"count": len(places), "cards": view.rows.cards(spread(places, count))}
        for name, places in compared.groups.items()
    }
    return found | {"groups": groups, "absent": compared.absent}


def clusters(
    explorer: Explore,
    column: Name = "",
    start: Start = 0,
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
    count: Few = 8,
) -> Found:
    """Samples with the same number in a column of copies, largest clusters first."""
    view = explorer.view
    known = [name for name in view.numeric_columns() if name.endswith(CLUSTER)]
    column = column or next(iter(known), "")
    page = {"column": column, "columns": known, "start": start, "limit": limit}
    if not column:
        return page | {"total": 0, "copies": 0, "clusters": []}
    values = view.values(column.lower())
    numbers, firsts, sizes = values.clusters()
    chosen = range(start, min(start + limit, len(numbers)))
    return page | {
        "total": len(numbers),
        "copies": int(sizes.sum()) - len(sizes),
        "clusters": [
            {
                "value": int(numbers[n]),
                "size": int(sizes[n]),
                "cards": view.rows.cards(
                    values.order[firsts[n] : firsts[n] + min(count, int(sizes[n]))].tolist()
                ),
            }
            for n in chosen
        ],
    }
