"""The parts of a model card in Hugging Face's format: front matter, tables, `model-index`.

---
library_name: "transformers"
model-index: a list of {name, results: [{task, dataset, metrics: [{type, name, value}]}]}
---
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from diagonal_train.exporting.escaping import markdown_text

TASK_TYPES = {
    "retrieval": ("image-text-retrieval", "Image-text retrieval"),
    "selection": ("image-text-matching", "Selection of the right caption"),
}
ZERO_SHOT = ("zero-shot-image-classification", "Zero-shot image classification")
METRIC_TYPES = {
    "acc1": "accuracy",
    "acc5": "accuracy",
    "macro_f1": "f1",
    "map": "mean_average_precision",
    "map11": "mean_average_precision",
    "mean_per_class_recall": "recall",
    "text_acc": "accuracy",
    "worst_group_acc1": "accuracy",
}
"""Hugging Face's names; a metric without one keeps its own."""
NOT_PLAIN_YAML = re.compile(
    "[^\x20-\x7e\xa0-\u061b\u061d-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff"
    "\ue000-\ufefe\uff00-\ufffd]"
)
"""What YAML does not allow, takes for the end of a line, or what would reorder the line."""


def front_matter(fields: Mapping[str, Any]) -> str:
    """The YAML between the lines of three dashes; `fields` are words and JSON values."""
    return "\n".join(["---", *_yaml_lines(fields), "---"]) + "\n"


def _yaml_lines(value: Mapping[str, Any] | Sequence[Any]) -> list[str]:
    """A mapping or a list as a block."""
    if not isinstance(value, Mapping):
        items = [_yaml_lines(v) if _has_parts(v) else [_scalar(v)] for v in value]
        return [
            ("  " if place else "- ") + line for lines in items for place, line in enumerate(lines)
        ]
    found = []
    for name, part in value.items():
        if _has_parts(part):
            indent = "  " if isinstance(part, Mapping) else ""
            found += [f"{name}:", *(indent + line for line in _yaml_lines(part))]
        else:
            found.append(f"{name}: {_scalar(part)}")
    return found


def _has_parts(value: Any) -> bool:
    return bool(value) and isinstance(value, Mapping | list | tuple)


def _scalar(value: Any) -> str:
    """Text in double quotes, as JSON: it cannot be taken for anything else."""
    if isinstance(value, float):
        mantissa, mark, exponent = repr(value).partition("e")
        # YAML 1.1 takes 1e-05 for text.
        return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else repr(value)
    quoted = json.dumps(value, ensure_ascii=False)
    return NOT_PLAIN_YAML.sub(lambda found: _escaped(found[0]), quoted)


def model_index(name: str, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The headline of every task of an evaluation's results.json, as leaderboards read it.

    A task without a number is left out.
    """
    entries = []
    for task, record in results.get("tasks", {}).items():
        metric = record.get("metric", "acc1")
        value = record.get("metrics", {}).get(metric)
        if not isinstance(value, int | float) or not math.isfinite(value):
            continue
        kind, shown = TASK_TYPES.get(record.get("kind", ""), ZERO_SHOT)
        dataset = {"name": task, "type": task, "split": record.get("split", "")}
        measured = {"type": METRIC_TYPES.get(metric, metric), "name": metric, "value": value}
        entries.append(
            {
                "task": {"type": kind, "name": shown},
                "dataset": {key: text for key, text in dataset.items() if text},
                "metrics": [measured],
            }
        )
    return [{"name": name, "results": entries}] if entries else []


def headline_rows(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Per task of results.json its headline with interval and n, for a table."""
    rows = []
    for task, record in results.get("tasks", {}).items():
        metric = record.get("metric", "acc1")
        value = record.get("metrics", {}).get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            bounds = record.get("ci95", {}).get(metric)
            interval = " [{:.3f}, {:.3f}]".format(*bounds) if bounds else ""
            text = f"{metric} {value:.3f}{interval}, n = {record.get('n', 0):,}"
            rows.append((markdown_text(task), markdown_text(text)))
    return rows


def fields_table(rows: Sequence[tuple[str, Any]]) -> str:
    """Two columns without a header; a row without a value is left out."""
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows if value not in (None, "")]
    return "\n".join(lines) + "\n"


def _escaped(char: str) -> str:
    number = ord(char)
    if 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
