"""Two filters against each other, over the samples that are there."""

from dataclasses import dataclass

import numpy as np

from diagonal_data.filters.keep_list import halves_of, read_keep_list
from diagonal_eval.explore.row_index import RowIndex
from diagonal_eval.explore.snapshot import NotThereError
from diagonal_infra import storage


@dataclass(frozen=True, kw_only=True)
class Diff:
    """`groups` are places, in order: `both`, `only_a`, `only_b`, `neither`."""

    groups: dict[str, np.ndarray]
    absent: dict[str, int]
    """Uids that `a` and `b` list and that are no sample of the dataset, or not any more."""


def filter_names(dataset: str) -> list[str]:
    """Filters with a keep list."""
    folder = storage.join(dataset, "filters")
    names = storage.list_folders(folder)
    return [name for name in names if storage.exists(storage.join(folder, name, "keep.npy"))]


def compare(dataset: str, index: RowIndex, a: str, b: str) -> Diff:
    """What each keeps of the samples.

    Raises:
        NotThereError: there is no such filter.
        UserError: a file is no keep list.
    """
    in_a, absent_a = listed(dataset, index, a)
    in_b, absent_b = listed(dataset, index, b)
    masks = {
        "both": in_a & in_b,
        "only_a": in_a & ~in_b,
        "only_b": in_b & ~in_a,
        "neither": (index.codes == 0) & ~in_a & ~in_b,
    }
    groups = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    return Diff(groups=groups, absent={"a": absent_a, "b": absent_b})


def listed(dataset: str, index: RowIndex, name: str) -> tuple[np.ndarray, int]:
    """Mask by place of the samples that a filter keeps, and how many uids are no sample."""
    known = filter_names(dataset)
    if name not in known:
        raise NotThereError(
            f"no filter {name!r} in {dataset!r}; it has {', '.join(known) or 'none'}"
        )
    keep = read_keep_list(dataset, name)
    mask = np.zeros(len(index.codes), bool)
    mask[index.places_of(keep)] = True
    mask &= index.codes == 0
    halves = halves_of(keep)
    repeated = int((halves[1:] == halves[:-1]).all(axis=1).sum())
    return mask, len(keep) - repeated - int(mask.sum())


def spread(places: np.ndarray, most: int) -> list[int]:
    """Evenly spaced ones, so that a sheet is of the whole group."""
    if not len(places):
        return []
    chosen = np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)
    return [int(place) for place in places[chosen]]
