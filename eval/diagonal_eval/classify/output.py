"""Classified pictures for people and programs."""

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from diagonal_eval.classify.classify import Classified
from diagonal_eval.classify.config import ClassifyConfig
from diagonal_eval.search.output import as_csv, printable, write_out
from diagonal_infra import log

DIGITS = 6
FIELDS = ("image", "rank", "label", "probability", "cosine", "note")
NOTES = {
    "tie": "tie: the first two are equal, abstain",
    "close": "close: the first two are near, better abstain",
}
UNREADABLE = "cannot be read or decoded"


def show(config: ClassifyConfig, found: Sequence[Classified]) -> None:
    """Write them to stdout in the format asked for."""
    if config.format == "json":
        records = [_record(each) for each in found]
        write_out(json.dumps(records, ensure_ascii=False, indent=2) + "\n")
    elif config.format == "csv":
        write_out(as_csv(FIELDS, [line for each in found for line in _lines(each)]))
    else:
        log.STDOUT.print(_table(found))


def _record(each: Classified) -> dict[str, Any]:
    if not each.guesses:
        return {"image": each.image, "error": UNREADABLE}
    labels = [
        {
            "label": guess.label,
            "probability": round(guess.probability, DIGITS),
            "cosine": round(guess.cosine, DIGITS),
        }
        for guess in each.guesses
    ]
    return {"image": each.image, "labels": labels, "note": each.note}


def _lines(each: Classified) -> list[dict[str, Any]]:
    record = _record(each)
    if "error" in record:
        return [{"image": each.image, "note": UNREADABLE}]
    return [
        {"image": each.image, "rank": rank, **label, "note": each.note if rank == 1 else ""}
        for rank, label in enumerate(record["labels"], 1)
    ]


def _table(found: Sequence[Classified]) -> Table:
    table = Table()
    for name in ("picture", "label"):
        table.add_column(name, overflow="fold")
    for name in ("probability", "cosine"):
        table.add_column(name, justify="right")
    if noted := any(each.note for each in found):
        table.add_column("")
    for each in found:
        name = Text(printable(each.image))
        if not each.guesses:
            table.add_row(name, Text(UNREADABLE), "–", "–", end_section=True)
        for rank, guess in enumerate(each.guesses, 1):
            note = NOTES.get(each.note, "") if rank == 1 else ""
            table.add_row(
                name if rank == 1 else "",
                Text(printable(guess.label)),
                f"{guess.probability:.3f}",
                f"{guess.cosine:.3f}",
                *([note] if noted else []),
                end_section=rank == len(each.guesses),
            )
    return table
