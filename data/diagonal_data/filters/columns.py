"""The columns that a recipe's SQL may name, and where their values come from.

caption, width …         a row table's column, by its own name
caption_words            words of the caption     } computed at reading
caption_chars            characters of it         }
host                     host name of the URL     }
KIND_COLUMN              a score column, if the dataset has one set of the kind
KIND_NAME_COLUMN         a score column of one set; other signs than letters are _ in NAME
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from diagonal_data.filters.texts import count_characters, count_words, host_names
from diagonal_data.manifest import shard_names
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.score_sets import ScoreSet, find_column, score_sets
from diagonal_infra.errors import UserError

CAPTION_WORDS, CAPTION_CHARS, HOST = "caption_words", "caption_chars", "host"
MADE_BY = {
    "clip": "python -m diagonal_eval.scores clip --dataset {dataset} --model MODEL",
    "dedup": "python -m diagonal_data.dedup exact|perceptual|semantic --dataset {dataset}",
    "eval_near": "python -m diagonal_data.decontaminate mark --dataset {dataset} --index FILE",
}
"""Command that makes a kind of scores, where it is not `diagonal_eval.scores KIND --dataset D`."""
KINDS = ("text", "image", "safety", "ocr", *MADE_BY)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column; `scores` is None for one of the row table."""

    name: str
    scores: ScoreSet | None = None


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A column that is computed of one of the row table's."""

    source: str
    type: pa.DataType
    compute: Callable[[pa.ChunkedArray], pa.ChunkedArray]


DERIVED = {
    CAPTION_WORDS: Derived(source="caption", type=pa.int32(), compute=count_words),
    CAPTION_CHARS: Derived(source="caption", type=pa.int32(), compute=count_characters),
    HOST: Derived(source="url", type=pa.string(), compute=host_names),
}


class Catalogue:
    """What a dataset has to offer."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self._sets = score_sets(dataset)
        self._scores: dict[str, list[Column]] = {}
        kinds = [each.kind for each in self._sets]
        for each in self._sets:
            for name in columns_of(each):
                column = Column(name=name, scores=each)
                names = {sql_name(each, name)}
                if kinds.count(each.kind) == 1:
                    names.add(f"{each.kind}_{name}")
                for known in names:
                    self._scores.setdefault(known.lower(), []).append(column)

    def find(self, name: str) -> Column:
        """The column of that name.

        Raises:
            UserError: there is none, or several.
        """
        if name in ROW_SCHEMA.names or name in DERIVED:
            return Column(name=name)
        found = self._scores.get(name, [])
        if len(found) > 1:
            labels = ", ".join(column.scores.label for column in found if column.scores)
            raise UserError(f"{name!r} may be a column of {labels}; rename one of the folders")
        if not found:
            raise self._unknown(name)
        return found[0]

    def find_score(self, flag: str, column: str) -> str:
        """The name in SQL of a score column given as KIND/NAME.COLUMN.

        Raises:
            UserError: there is no such set or column; the message names flag and remedy.
        """
        if column in ROW_SCHEMA.names:
            return column
        try:
            scores, name = find_column(self.dataset, column)
        except UserError as error:
            kind = column.partition("/")[0].partition(".")[0]
            known = any(each.kind == kind for each in self._sets)
            remedy = "name one of them" if known else self._remedy(kind)
            raise UserError(f"{flag}: {error}; {remedy}") from error
        return sql_name(scores, name)

    def scores(self) -> dict[str, Column]:
        """Every score column by the shortest name that means it alone."""
        names: dict[Column, str] = {}
        for name in sorted(self._scores, key=lambda known: (len(known), known)):
            if len(self._scores[name]) == 1:
                names.setdefault(self._scores[name][0], name)
        return {name: column for column, name in sorted(names.items(), key=lambda item: item[1])}

    def _unknown(self, name: str) -> UserError:
        several = [each.kind for each in self._sets]
        for kind in sorted(set(several), key=len, reverse=True):
            if name.startswith(f"{kind}_") and several.count(kind) > 1:
                labels = [known for known in self._scores if known.startswith(f"{kind}_")]
                return UserError(
                    f"no column {name!r}: {self.dataset!r} has several score sets of {kind}; "
                    f"name one of {', '.join(sorted(labels))}"
                )
        for kind in KINDS:
            if name.startswith(f"{kind}_") and kind not in several:
                return UserError(
                    f"no column {name!r}: {self.dataset!r} has no {kind} scores; "
                    f"{self._remedy(kind)}"
                )
        known = [*ROW_SCHEMA.names, *DERIVED, *self._scores]
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "text stands in single quotes"
        scores = ", ".join(sorted(self._scores)) or "none"
        return UserError(f"no column {name!r} in {self.dataset!r}; {hint} (scores: {scores})")

    def _remedy(self, kind: str) -> str:
        """How to make scores of a kind."""
        if kind not in KINDS:
            return f"kinds of scores are {', '.join(KINDS)}"
        call = MADE_BY.get(kind, f"python -m diagonal_eval.scores {kind} --dataset {{dataset}}")
        return f"make them with '{call.format(dataset=self.dataset)}'"


def sql_name(scores: ScoreSet, column: str) -> str:
    """KIND_NAME_COLUMN."""
    return f"{scores.kind}_{re.sub(r'[^A-Za-z0-9]', '_', scores.name)}_{column}".lower()


def columns_of(scores: ScoreSet) -> list[str]:
    """Columns of the first shard that has a table; none if there is no such."""
    for shard in shard_names(scores.dataset):
        schema = scores.schema(shard)
        if schema is not None:
            return [name for name in schema.names if name != "uid"]
    return []


def row_columns(columns: Iterable[Column]) -> list[str]:
    """What must be read of the row tables for these columns."""
    names = [column.name for column in columns if column.scores is None]
    return list(dict.fromkeys(DERIVED[n].source if n in DERIVED else n for n in names))
