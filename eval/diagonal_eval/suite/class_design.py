"""The sweep of `bias` over a set that has groups: what other classes do to people."""

from typing import Any

from diagonal_eval.bias import (
    PAPER_ADDED,
    PAPER_KINDS,
    class_design_sweep,
    design_record,
    read_kinds,
)
from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.suite.measured import EmbedTexts, Kinds, Measuring
from diagonal_eval.zeroshot import prompts_for

PAPER = "paper"
"""In place of a file: the classes of Radford et al. (2021)."""


def kinds_named(name: str | None) -> Kinds | None:
    """The kinds of classes that `--class-design` names; None: no sweep.

    Raises:
        UserError: there is no such file, or it names no kinds.
    """
    if name is None:
        return None
    return PAPER_KINDS if name == PAPER else read_kinds(name)


def has_sweep(evalset: EvalSet, how: Measuring) -> bool:
    """Whether the sweep is asked for and the set has groups and templates."""
    return how.kinds is not None and bool(evalset.groups) and bool(evalset.templates)


def design_texts(evalset: EvalSet, how: Measuring) -> list[str]:
    """Further prompts that the sweep needs."""
    if not has_sweep(evalset, how):
        return []
    assert how.kinds is not None
    names = [name for classes in how.kinds.values() for name in classes]
    return prompts_for([*names, *PAPER_ADDED], evalset.templates)


def measure_designs(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, how: Measuring
) -> dict[str, Any]:
    """`class_design` of the task's record; nothing where no sweep is asked for.

    Raises:
        UserError: a class stands in two kinds.
    """
    if not has_sweep(evalset, how):
        return {}
    assert how.kinds is not None
    designs = class_design_sweep(
        features.embedding_ND,
        evalset.groups,
        embed,
        class_names=evalset.class_names,
        templates=evalset.templates,
        seed=how.seed,
        kinds=how.kinds,
    )
    return {"class_design": design_record(designs)}
