"""`candidates report`: the funnel, concepts before and after balancing, languages, hosts, costs.

    python -m diagonal_data.candidates report --candidates out/c --rates.cores 256

It reads the finished candidates only, prints the tables and writes OUTPUT/report.html.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from diagonal_data.candidates.concept_chart import concept_chart
from diagonal_data.candidates.config import ReportConfig
from diagonal_data.candidates.counts import read_counts
from diagonal_data.rows import host_of
from diagonal_infra import log, storage
from diagonal_infra.cost import FetchCost, fetch_cost
from diagonal_infra.errors import UserError
from diagonal_infra.html_page import html_page

COLUMNS = ("url", "lang", "source", "matches")
MOST_HOSTS = 1_000_000
"""Hosts counted at a time; beyond, those with the fewest rows are forgotten."""
CONCEPTS_SHOWN = 15


@dataclass(kw_only=True)
class Findings:
    """What the candidates are like."""

    rows: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows of each entry after balancing."""


def main(config: ReportConfig) -> None:
    """Print the tables and write the page.

    Raises:
        UserError: the folder holds no finished candidates.
    """
    path = storage.join(config.candidates, "summary.json")
    if not storage.exists(path):
        raise UserError(
            f"{config.candidates!r} holds no finished candidates; make them with "
            "'python -m diagonal_data.candidates'"
        )
    funnel = json.loads(storage.read_bytes(path))["funnel"]
    found = gather(config.candidates)
    cost = fetch_cost(found.rows, max(found.hosts.values(), default=0), config.rates)
    tables = {
        "Funnel": funnel_lines(funnel),
        "Languages": _lines(found.languages, found.rows, config.hosts),
        "Where the captions stood": _lines(found.sources, found.rows, config.hosts),
        "Hosts": _lines(found.hosts, found.rows, config.hosts),
        "Fetching": cost_lines(cost, config),
    }
    for title, lines in tables.items():
        log.STDOUT.print(_as_table(title, lines))
    page = html_page(
        f"Candidates {config.candidates}",
        "".join(map(_section, tables, tables.values())) + _concepts(config.candidates, found.kept),
    )
    target = storage.join(config.candidates, "report.html")
    storage.write_bytes(target, page.encode())
    log.STDOUT.print(f"report: {target}", highlight=False)


def gather(folder: str) -> Findings:
    """One pass over the candidates."""
    found = Findings()
    parts = [n for n in storage.list_files(folder, ".parquet") if n.startswith("part-")]
    for name in parts:
        with storage.open_read(storage.join(folder, name)) as file:
            batches = pq.ParquetFile(file).iter_batches(columns=[*COLUMNS], use_threads=False)
            for batch in batches:
                _add(found, batch)
    return found


def funnel_lines(funnel: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """Pages, images and rows by what became of them, the most frequent first."""
    lines = []
    for group, counts in funnel.items():
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        lines += [(f"{group}: {name.replace('_', ' ')}", f"{count:,}") for name, count in ordered]
    return lines


def cost_lines(cost: FetchCost, config: ReportConfig) -> list[tuple[str, str]]:
    """The estimate, and what it assumes."""
    rates = config.rates
    return [
        ("pictures expected", f"{cost.samples:,} ({rates.success_share:.0%} of the URLs)"),
        ("hours", f"{cost.hours:,.1f} with {rates.cores} cores"),
        (
            "core-hours",
            f"{cost.core_hours:,.1f} at {rates.images_per_core_second:g} pictures a core-second",
        ),
        (
            "hours of the largest host",
            f"{cost.hours_of_largest_host:,.1f} at {rates.fetches_per_host_second:g} a second",
        ),
        (
            "received",
            f"{cost.received_gb:,.1f} GB, {cost.megabits_per_second:,.0f} Mbit/s on average",
        ),
        ("stored", f"{cost.stored_gb:,.1f} GB at {rates.stored_kilobytes:g} kB each"),
        ("cores cost", f"{cost.price:,.2f} at {rates.core_hour_price:g} an hour"),
    ]


def _add(found: Findings, batch: pa.RecordBatch) -> None:
    found.rows += batch.num_rows
    _count(found.languages, batch.column("lang"))
    _count(found.sources, batch.column("source"))
    found.hosts.update(map(host_of, batch.column("url").to_pylist()))
    if len(found.hosts) > 2 * MOST_HOSTS:
        found.hosts = Counter(dict(found.hosts.most_common(MOST_HOSTS)))
    matches = batch.column("matches").flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    kept = np.bincount(matches, minlength=len(found.kept))
    kept[: len(found.kept)] += found.kept
    found.kept = kept


def _count(counter: Counter[str], column: pa.Array) -> None:
    for pair in column.value_counts().to_pylist():
        counter[pair["values"] or "unknown"] += pair["counts"]


def _lines(counter: Counter[str], rows: int, most: int) -> list[tuple[str, str]]:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    lines = [(name, f"{count:,} ({count / max(rows, 1):.1%})") for name, count in ordered[:most]]
    if len(ordered) > most:
        rest = sum(count for _, count in ordered[most:])
        lines.append((f"{len(ordered) - most:,} more", f"{rest:,} ({rest / max(rows, 1):.1%})"))
    return lines


def _as_table(title: str, lines: Iterable[tuple[str, str]]) -> Table:
    table = Table("what", "how many", title=title)
    for line in lines:
        table.add_row(*line)
    return table


def _section(title: str, lines: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(a)}<td>{escape(b)}" for a, b in lines)
    return f"<h2>{escape(title)}</h2><table>{rows}</table>"


def _concepts(folder: str, kept: np.ndarray) -> str:
    """The chart, the most and the least frequent entries; nothing without metadata."""
    counted = read_counts(folder)
    if counted is None:
        return ""
    before = counted.counts
    after = np.zeros_like(before)
    after[: len(kept)] = kept[: len(before)]
    order = np.argsort(-before, kind="stable")
    filled = int((before > 0).sum())
    # Of few entries none is both at the head and in the tail.
    shown = order[: min(CONCEPTS_SHOWN, filled)]
    rare = order[max(filled - CONCEPTS_SHOWN, len(shown)) : filled]
    lines = [
        (str(counted.texts[i]), f"{before[i]:,} before, {after[i]:,} after")
        for i in (*shown, *rare)
    ]
    tail = int(((before > 0) & (before <= counted.limits)).sum())
    summary = [
        ("entries", f"{len(before):,}"),
        ("without a row", f"{int((before == 0).sum()):,}"),
        ("in the tail, left as they are", f"{tail:,}"),
    ]
    return (
        _section("Concepts", summary + lines)
        + "<p>Rows of each entry, the most frequent first; both axes are logarithmic.</p>"
        + concept_chart(before, after)
    )
