"""The sets of the tasks that are asked for, and what is wrong with those that cannot be had.

weak, weak/NAME     probes that are composed (weak_spots)
anything else       as `sets` knows it: names, collections, wds:DIR, folder:DIR, shards:DIR
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch.distributed as dist

from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_eval.sets.registry import expand
from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite_report.predictions import predictions_path
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_infra.errors import UserError
from diagonal_train.distributed import World

WEAK = "weak"
"""The collection of all probes."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What became of the tasks that were asked for."""

    sets: tuple[EvalSet, ...]
    absent: Mapping[str, str]
    """Why, and how to get the set."""
    refused: Mapping[str, str]
    """What is wrong with the set."""


def open_all(config: SuiteConfig, world: World) -> Opened:
    """The sets of all tasks; the first rank goes ahead, so that nothing is indexed twice.

    Raises:
        UserError: none of them is there, or a name is unknown.
    """
    names = expand_all(config.tasks)
    if not world.is_main:
        dist.barrier()
    sets, absent, refused = [], {}, {}
    for name in names:
        try:
            sets.append(open_any(name, config))
        except AbsentSetError as error:
            absent[name] = str(error)
        except UserError as error:
            refused[name] = str(error)
    if world.is_main and world.world_size > 1:
        dist.barrier()
    reasons = [*absent.values(), *refused.values()]
    if not sets:
        raise UserError(f"no task can be measured: {'; '.join(reasons)}")
    by_file: dict[str, str] = {}
    for evalset in sets:
        other = by_file.setdefault(predictions_path("", evalset.name), evalset.name)
        if other != evalset.name:
            raise UserError(
                f"predictions of {other!r} and {evalset.name!r} would be one file; evaluate them "
                "into two folders"
            )
    for name, why in (absent | refused).items():
        logger.warning("not measured task=%s why=%s", name, why)
    return Opened(sets=tuple(sets), absent=absent, refused=refused)


def expand_all(names: Sequence[str]) -> list[str]:
    """Every task once, in the order asked for; collections become their members.

    Raises:
        UserError: a name is unknown.
    """
    found: list[str] = []
    for name in names:
        if name == WEAK:
            found += WEAK_SPOTS
        elif name in WEAK_SPOTS:
            found.append(name)
        elif name.startswith(f"{WEAK}/"):
            raise UserError(f"no probe {name!r}; there are {', '.join(WEAK_SPOTS)}")
        else:
            found += expand([name])
    return list(dict.fromkeys(found))


def open_any(name: str, config: SuiteConfig) -> EvalSet:
    """The set of one task.

    Raises:
        AbsentSetError: it is not there; the message says how to get it.
        UserError: it contradicts itself.
    """
    if name in WEAK_SPOTS:
        return WEAK_SPOTS[name](replace(config.weak, seed=config.seed))
    return open_set(name, config.sets)
