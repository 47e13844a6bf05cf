"""Filters made of keep lists: combined, imported, exported."""

import logging

import numpy as np

from diagonal_data.filters.algebra import parse_algebra
from diagonal_data.filters.columns import Catalogue
from diagonal_data.filters.config import CombineConfig, ExportConfig, ImportConfig
from diagonal_data.filters.inputs import check_list, warn_if_stale
from diagonal_data.filters.keep_list import (
    read_keep_list,
    read_packed,
    sorted_uids,
    times_listed,
    write_packed,
)
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.query import Query, run_query
from diagonal_data.filters.rules import DropReason
from diagonal_data.filters.sql import sandbox

logger = logging.getLogger(__name__)


def all_samples(dataset: str) -> Pool:
    """Every row, with what can never be kept dropped."""
    query = Query(rules=(), keys={})
    return run_query(query, Catalogue(dataset), sandbox())


def combined(config: CombineConfig) -> Pool:
    """The samples that the expression's filters list together.

    Raises:
        UserError: no such filter, or no such expression.
    """
    tree = parse_algebra(config.expression)
    lists = {name: read_keep_list(config.dataset, name) for name in tree.names()}
    for name in lists:
        warn_if_stale(config.dataset, name)
    pool = all_samples(config.dataset)
    places = pool.kept()
    packed = pool.packed(places)
    listed = {name: times_listed(packed, keep) for name, keep in lists.items()}
    reasons = tree.reasons(listed)
    for reason in sorted(set(reasons.tolist()) - {""}):
        pool.drop(reason, places[reasons == reason])
    _set_times(pool, places, tree.times(listed))
    return pool


def imported(config: ImportConfig) -> Pool:
    """The samples that a foreign list names; what the dataset has not is counted.

    Raises:
        UserError: no such file, or it is no list of uids.
    """
    check_list(config.list, "--list")
    foreign = read_packed(config.list)
    keep = sorted_uids(foreign)
    if keep is not foreign:
        logger.warning("the list is not sorted, it was sorted list=%s", config.list)
    pool = all_samples(config.dataset)
    places = pool.kept()
    times = times_listed(pool.packed(places), keep)
    pool.drop(DropReason.NOT_LISTED, places[times == 0])
    _set_times(pool, places, times)
    absent = len(keep) - int(times.sum())
    if absent:
        logger.warning(
            "the list names uids that are no sample of the dataset list=%s entries=%d of=%d",
            *(config.list, absent, len(keep)),
        )
    return pool


def export_list(config: ExportConfig) -> int:
    """Write a keep list for others, without what is no sample any more; how many it names.

    Raises:
        UserError: no such filter.
    """
    warn_if_stale(config.dataset, config.name)
    keep = read_keep_list(config.dataset, config.name)
    pool = all_samples(config.dataset)
    there = sorted_uids(pool.packed(pool.kept()))
    chosen = keep[times_listed(keep, there) > 0]
    write_packed(config.output, chosen)
    return len(chosen)


def _set_times(pool: Pool, places: np.ndarray, times: np.ndarray) -> None:
    if (times > 1).any():
        pool.weights = np.ones(len(pool.codes), np.int32)
        pool.weights[places] = np.maximum(times, 1)
