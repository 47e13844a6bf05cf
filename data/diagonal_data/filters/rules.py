"""A recipe as conditions: what each rule keeps, in SQL, and the reason of what it drops.

The order is that of the reasons below; the first rule that drops a row names its reason. Cheap and
certain rules come first, so that a copy is only ever dropped in favour of a row that is really
kept, and caps and draws are counted among what is left.
"""

from collections.abc import Iterator
from enum import StrEnum

import duckdb

from diagonal_data.filters.columns import CAPTION_CHARS, CAPTION_WORDS, Catalogue
from diagonal_data.filters.config import CaptionLength, FiltersConfig, ImageShape, Rule
from diagonal_data.filters.sql import conjuncts, split_name
from diagonal_infra.errors import UserError


class DropReason(StrEnum):
    """Why a stored sample is not kept; failed rows keep their own `Reason`, and conditions of
    --where have reasons of their own."""

    TAKEN_DOWN = "taken_down"
    HELD_OUT = "held_out"
    WRONG_LANGUAGE = "wrong_language"
    CAPTION_TOO_SHORT = "caption_too_short"
    CAPTION_TOO_LONG = "caption_too_long"
    IMAGE_TOO_SMALL = "original_too_small"
    ASPECT_TOO_WIDE = "aspect_too_wide"
    SIMILARITY_TOO_LOW = "similarity_too_low"
    FAR_FROM_TARGETS = "far_from_targets"
    NO_EMBEDDING = "no_embedding"
    EXACT_DUPLICATE = "exact_duplicate"
    PERCEPTUAL_DUPLICATE = "perceptual_duplicate"
    PICTURE_AND_CAPTION = "picture_and_caption_duplicate"
    FREQUENT_CAPTION = "frequent_caption"
    NO_CONCEPT = "no_concept"
    BALANCED_AWAY = "balanced_away"
    OVER_HOST_CAP = "over_host_cap"
    OVER_CAPTION_CAP = "over_caption_cap"
    OVER_CONCEPT_CAP = "over_concept_cap"
    NOT_SAMPLED = "not_sampled"
    NO_WEIGHT = "no_weight"
    NOT_LISTED = "not_listed"


KEPT = ""
"""Stands where a dropped row has its reason."""
UNKNOWN = "_unknown"
"""Ends the reason of a row for which a rule's condition is null."""


def rules_for(
    config: FiltersConfig, catalogue: Catalogue, connection: duckdb.DuckDBPyConnection
) -> list[Rule]:
    """The conditions of a recipe in order.

    Raises:
        UserError: a score that the dataset lacks, or a text that is no condition.
    """
    return [
        *_language(config, catalogue),
        *_caption(config.caption),
        *_image(config.image),
        *_similarity(config, catalogue),
        *_where(config.where, connection),
    ]


def _language(config: FiltersConfig, catalogue: Catalogue) -> Iterator[Rule]:
    if config.language.keep:
        column = catalogue.find_score("--language.column", config.language.column)
        codes = ", ".join(quoted(code) for code in config.language.keep)
        yield Rule(reason=DropReason.WRONG_LANGUAGE, keep=f"{column} IN ({codes})")


def _caption(rule: CaptionLength) -> Iterator[Rule]:
    least = _limits(f"{CAPTION_CHARS} >=", rule.min_chars, f"{CAPTION_WORDS} >=", rule.min_words)
    most = _limits(f"{CAPTION_CHARS} <=", rule.max_chars, f"{CAPTION_WORDS} <=", rule.max_words)
    if least:
        yield Rule(reason=DropReason.CAPTION_TOO_SHORT, keep=least)
    if most:
        yield Rule(reason=DropReason.CAPTION_TOO_LONG, keep=most)


def _limits(first: str, one: int, second: str, other: int) -> str:
    return " AND ".join(
        f"{text} {limit}" for text, limit in ((first, one), (second, other)) if limit
    )


def _image(rule: ImageShape) -> Iterator[Rule]:
    width, height = "coalesce(original_width, 0)", "coalesce(original_height, 0)"
    short, long = f"least({width}, {height})", f"greatest({width}, {height})"
    if rule.min_side:
        yield Rule(reason=DropReason.IMAGE_TOO_SMALL, keep=f"{short} >= {rule.min_side}")
    if rule.max_aspect:
        # Divided in doubles as DataComp divides; a decimal would be rounded otherwise.
        ratio = f"{long}::DOUBLE / greatest({short}, 1)::DOUBLE"
        yield Rule(
            reason=DropReason.ASPECT_TOO_WIDE, keep=f"{ratio} <= {float(rule.max_aspect)!r}::DOUBLE"
        )


def _similarity(config: FiltersConfig, catalogue: Catalogue) -> Iterator[Rule]:
    rule = config.similarity
    if not rule.score:
        if rule.at_least is not None or rule.top < 1:
            raise UserError("--at-least and --top need --score KIND/NAME.COLUMN")
        return
    column = catalogue.find_score("--score", rule.score)
    if rule.at_least is not None:
        # The limit in the score's own type, as NumPy compares a column with a number.
        limit = f"{float(rule.at_least)!r}::DOUBLE"
        yield Rule(
            reason=DropReason.SIMILARITY_TOO_LOW,
            keep=f"{column} >= (CASE typeof({column}) WHEN 'FLOAT' THEN {limit}::FLOAT "
            f"ELSE {limit} END)",
        )
    if rule.top < 1 or rule.at_least is None:
        yield Rule(reason=DropReason.SIMILARITY_TOO_LOW, keep=f"top({column}, {rule.top!r})")


def _where(conditions: tuple[str, ...], connection: duckdb.DuckDBPyConnection) -> Iterator[Rule]:
    for text in conditions:
        reason, condition = split_name(text)
        if reason is not None:
            yield Rule(reason=reason, keep=condition)
            continue
        for part in conjuncts(connection, condition):
            yield Rule(reason=f"not: {part}", keep=part)


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"
