"""Groups of pictures that errors are compared over: DataComp's columns, or attributes in KEY.json.

Of a set of the registry the attributes named there are taken; of any other set those of KEY.json
that every picture has and that divide the pictures into few groups.
"""

from collections.abc import Mapping, Sequence

from diagonal_eval.sets.tars import TarSample
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_infra.errors import UserError

MAX_VALUES = 64
"""An attribute with more is a name of the picture rather than of a group."""
NO_GROUP = ""
"""Of a picture that belongs to none, as far as is known."""


def groups_of(
    place: str,
    samples: Sequence[TarSample],
    info: TaskInfo | None,
    kind: str,
    names_of_values: Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Attribute to its value for each picture; of a known set in the order of the registry.

    Raises:
        UserError: the metric of a known set is over groups, and the pictures have none.
    """
    if info is None:
        return _from_any_json(samples)
    groups: dict[str, tuple[str, ...]] = {}
    for name in info.groups:
        if any(sample.json is not None and name in sample.json for sample in samples):
            groups[name] = tuple(_text((sample.json or {}).get(name)) for sample in samples)
        elif kind == "classification" and all(sample.npy is not None for sample in samples):
            values = _from_columns(name, samples, info, names_of_values)
            if values:
                groups[name] = values
    if info.metric == "worst_group_acc1" and samples and info.groups[0] not in groups:
        raise UserError(
            f"{place!r} does not say the {info.groups[0]} of its pictures, which {info.name} is "
            f'scored by; put {{"{info.groups[0]}": …}} into each KEY.json'
        )
    return groups


def _from_columns(
    name: str,
    samples: Sequence[TarSample],
    info: TaskInfo,
    names_of_values: Mapping[str, Sequence[str]],
) -> tuple[str, ...]:
    column = [attribute.name for attribute in info.columns].index(name)
    names = names_of_values.get(name) or info.columns[column].values
    rows = [sample.npy for sample in samples if sample.npy is not None]
    if any(len(row) <= column or not row[column].is_integer() for row in rows):
        return ()
    numbers = [int(row[column]) for row in rows]
    return tuple(names[n] if 0 <= n < len(names) else str(n) for n in numbers)


def _from_any_json(samples: Sequence[TarSample]) -> dict[str, tuple[str, ...]]:
    tables = [sample.json for sample in samples if sample.json is not None]
    if not tables or len(tables) != len(samples):
        return {}
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    groups = {name: tuple(_text(table[name]) for table in tables) for name in sorted(shared)}
    return {
        name: values
        for name, values in groups.items()
        if 1 < len(set(values)) <= min(MAX_VALUES, len(values) // 2)
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else NO_GROUP if value is None else str(value)
