"""What the comparisons share: measuring their rows one by one, and the page that shows them.

measure | the peer | diagonal | ratio | goal | met or **not met**
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from diagonal_infra import run_dir
from diagonal_infra.errors import DiagonalError

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One comparison."""

    measure: str
    peer: str
    ours: str
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    """None where no goal is set."""


def table(peer: str, lines: Sequence[Line]) -> str:
    """The lines under a head that names the peer."""
    head = f"| measure | {peer} | diagonal | ratio | goal | |\n|---|---|---|---|---|---|"
    words = {True: "met", False: "**not met**", None: ""}
    body = [
        f"| {line.measure} | {line.peer} | {line.ours} | {line.ratio} | {line.goal} "
        f"| {words[line.met]} |"
        for line in lines
    ]
    return "\n".join([head, *body])


def measured_on(rows: Rows) -> str:
    """When and on which code; one sentence if all rows agree."""
    measured = {name: _when(row) for name, row in rows.items()}
    if len(set(measured.values())) == 1:
        return f"Measured on {next(iter(measured.values()))}."
    return "Measured: " + "; ".join(f"{name} on {when}" for name, when in measured.items()) + "."


def _when(row: Mapping[str, Any]) -> str:
    revision, plus, changes = row["code_revision"].partition("+")
    return f"{row['date']}, code revision {revision[:7]}{plus}{changes}"


def packages(result: Mapping[str, Any]) -> str:
    """Names and versions with commas between."""
    return ", ".join(f"{name} {version}" for name, version in result["versions"].items())


def columns(programs: Mapping[str, Mapping[str, float]]) -> str:
    """A table with one column per program and one line per figure."""
    figures = list(next(iter(programs.values())))
    head = f"| | {' | '.join(programs)} |\n|---|{'---|' * len(programs)}"
    body = []
    for figure in figures:
        values = " | ".join(f"{program[figure]:,g}" for program in programs.values())
        body.append(f"| {figure.replace('_', ' ')} | {values} |")
    return "\n".join([head, *body])


def chosen_rows(known: Sequence[str], text: str) -> list[str]:
    """The rows of a `--only` list, in the order of measuring."""
    names = text.split(",")
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no row {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return [name for name in known if name in names]


def measure_rows(
    rows: Mapping[str, Callable[[], Mapping[str, Any]]],
    target: Path,
    versions_of: tuple[str, ...],
    as_markdown: Callable[[Mapping[str, Any]], str],
) -> int:
    """Measure in order into the JSON at `target`, where other rows stay, and print its page.

    Every finished row is written at once. Gives the command's exit status.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = json.loads(target.read_text()) if target.is_file() else {"rows": {}}
    for name, measure in rows.items():
        print(f"measuring {name}", file=sys.stderr, flush=True)
        try:
            row = measure()
        except DiagonalError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        when = {"date": machine.today(), "code_revision": run_dir.code_revision()}
        result["rows"][name] = {**row, **when}
        result["machine"] = machine.hardware()
        result["versions"] = machine.versions(versions_of)
        _write(result, target, as_markdown)
    print(target.with_suffix(".md").read_text())
    return 0


def _write(
    result: Mapping[str, Any], target: Path, as_markdown: Callable[[Mapping[str, Any]], str]
) -> None:
    """The JSON, and its page beside it; each appears whole."""
    for path, text in (
        (target, json.dumps(result, indent=2) + "\n"),
        (target.with_suffix(".md"), as_markdown(result)),
    ):
        aside = path.with_name(path.name + ".partial")
        aside.write_text(text)
        aside.replace(path)
