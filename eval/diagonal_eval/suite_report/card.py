"""README.md of an evaluation: a model card in Hugging Face's format.

Its front matter has the headline of every task as `model-index`, which leaderboards read. Nothing
is claimed that results.json does not record.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from diagonal_eval.suite_report.provenance import model_name, provenance
from diagonal_eval.suite_report.record import TaskRecord, read_tasks
from diagonal_eval.suite_report.tables import markdown_table
from diagonal_train.exporting.card_text import fields_table, front_matter, model_index
from diagonal_train.exporting.escaping import markdown_text


def card_text(results: Mapping[str, Any]) -> str:
    """The whole file."""
    name, tasks = model_name(results), read_tasks(results)
    fields = {"pipeline_tag": "zero-shot-image-classification", "tags": ["clip"]}
    index = model_index(name, results)
    sections = [
        front_matter({**fields, "model-index": index} if index else fields),
        f"# {markdown_text(name)}\n\nA dual encoder of pictures and texts (CLIP), evaluated with "
        "Diagonal.\n",
        f"## Evaluation\n\nValues in percent with 95 % intervals; the metric of each task is "
        f"bold.\n\n{markdown_table(tasks)}",
        _notes(tasks),
        _absent({**(results.get("absent") or {}), **(results.get("refused") or {})}),
        "## Provenance\n\n"
        + fields_table(
            [(markdown_text(what), markdown_text(value)) for what, value in provenance(results)]
        ),
        "## Licence\n\nNone was declared for these weights.\n",
    ]
    return "\n".join(section for section in sections if section)


def _notes(tasks: Sequence[TaskRecord]) -> str:
    lines = [f"- {markdown_text(t.name)}: {markdown_text(t.note)}" for t in tasks if t.note]
    lines += [
        f"- {markdown_text(t.name)}: {t.unreadable:,} pictures could not be read and count as wrong"
        for t in tasks
        if t.unreadable
    ]
    return "\n".join([*lines, ""]) if lines else ""


def _absent(absent: Mapping[str, Any]) -> str:
    if not absent:
        return ""
    lines = [f"- {markdown_text(name)}: {markdown_text(str(how))}" for name, how in absent.items()]
    return "\n".join(["## Not measured", "", *lines, ""])
