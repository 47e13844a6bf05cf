"""Numbers as text and tables: for the terminal and for the report.

Cells of HTML tables are HTML: names are escaped where a cell is made.

Shape suffixes: N pictures.
"""

from collections.abc import Sequence
from html import escape

from rich.table import Table

from diagonal_eval.intervals import Interval, Rate
from diagonal_eval.results import ALL_HELD_OUT, MeanAccuracy, Results, TaskResult
from diagonal_eval.retrieval import RECALL_AT

HtmlRow = tuple[str, Sequence[str]]
"""CSS class of the row, and its cells."""


def results_table(results: Results) -> Table:
    """The headline numbers for the terminal."""
    table = Table(title="Zero-shot accuracy", title_justify="left")
    for name in (
        "pictures",
        "concepts",
        "n",
        "classes",
        "acc1 [95 %]",
        "acc5",
        "bare label",
        "chance",
    ):
        table.add_column(name, justify="left" if name in {"pictures", "concepts"} else "right")
    for result in results.tasks:
        acc1, acc5 = result.ensemble.accuracy(1), result.ensemble.accuracy(5)
        num_classes = len(result.task.class_names)
        table.add_row(
            f"{result.task.style} ({_kind(result)})",
            result.task.concepts,
            f"{acc1.n:,}",
            f"{num_classes:,}",
            f"{percent(acc1.value)} {interval_text(acc1.interval)}",
            percent(acc5.value),
            percent(result.bare_label.accuracy(1).value),
            percent(1 / num_classes),
            style="dim" if result.task.trained else None,
        )
    table.add_section()
    for concepts, mean in results.means.items():
        acc1_text = f"{percent(mean.acc1)} {interval_text(mean.acc1_interval)}"
        cells = (f"{mean.n:,}", "", acc1_text, percent(mean.acc5), "", percent(mean.chance))
        table.add_row("mean over held-out styles", concepts, *cells, style="bold")
    return table


def percent(share: float) -> str:
    """`12.3%`; two more digits below one percent."""
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{share:.2%}"


def interval_text(interval: Interval) -> str:
    """`[12.0–15.1]`, in percent."""
    return f"[{100 * interval[0]:.1f}–{100 * interval[1]:.1f}]"


def _kind(result: TaskResult) -> str:
    if result.task.held_out_style:
        return "held-out style"
    return "trained" if result.task.trained else "held-out concepts"


def html_table(header: Sequence[str], rows: Sequence[HtmlRow]) -> str:
    """Cells are HTML, the header is text; a wide table scrolls on its own."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for kind, cells in rows
    )
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{inner}</table></div>'


def _with_range(value: float, interval: Interval) -> str:
    return f"{percent(value)} <small>{interval_text(interval)}</small>"


def _rate(rate: Rate) -> str:
    return _with_range(rate.value, rate.interval)


def zeroshot_table(results: Results) -> str:
    """HTML: every task and the means over the held-out styles."""
    header = ("drawings", "concepts", "n", "classes", "acc1", "acc5", "acc1, bare label", "chance")
    rows: list[HtmlRow] = [
        ("strong", _mean_cells(concepts, mean)) for concepts, mean in results.means.items()
    ]
    for result in results.tasks:
        num_classes = len(result.task.class_names)
        cells = (
            f"{escape(result.task.style)} <small>{_kind(result)}</small>",
            result.task.concepts,
            f"{len(result.task.truth_N):,}",
            f"{num_classes:,}",
            _rate(result.ensemble.accuracy(1)),
            _rate(result.ensemble.accuracy(5)),
            _rate(result.bare_label.accuracy(1)),
            percent(1 / num_classes),
        )
        rows.append(("reference" if result.task.trained else "", cells))
    note = (
        "Each drawing is asked once among all class names of its row. Held-out styles and unseen "
        "concepts were in no training sample; rows marked trained were, and are a reference only. "
        f"The prompt ensemble has {len(results.templates)} templates."
    )
    number = "unknown" if results.leaked is None else f"{results.leaked:,}"
    leak = f"Held-out drawings among the training samples: {number}."
    return f'<p class="note">{note} {leak}</p>' + html_table(header, rows)


def _mean_cells(concepts: str, mean: MeanAccuracy) -> tuple[str, ...]:
    return (
        "mean over held-out styles",
        concepts,
        f"{mean.n:,}",
        "",
        _with_range(mean.acc1, mean.acc1_interval),
        _with_range(mean.acc5, mean.acc5_interval),
        "",
        percent(mean.chance),
    )


def template_table(results: Results) -> str:
    """HTML: acc1 of every template on the held-out styles."""
    held_out = [result for result in results.tasks if result.task.held_out_style]
    header = ("template", *(f"{r.task.style}, {r.task.concepts}" for r in held_out))
    rows: list[HtmlRow] = [
        (
            "",
            (escape(template), *(_rate(r.per_template[template].accuracy(1)) for r in held_out)),
        )
        for template in results.templates
    ]
    ensemble = ("ensemble of all", *(_rate(result.ensemble.accuracy(1)) for result in held_out))
    return '<p class="note">acc1 of each template alone.</p>' + html_table(
        header, [*rows, ("strong", ensemble)]
    )


def retrieval_table(results: Results) -> str:
    """HTML: recall@k of every pool in both directions."""
    header = ("pool", "direction", "queries", "gallery", *(f"recall@{k}" for k in RECALL_AT))
    rows: list[HtmlRow] = []
    for name, pool in results.retrieval.items():
        kind = "strong" if name == ALL_HELD_OUT else ""
        shown = "all held-out styles" if name == ALL_HELD_OUT else escape(name)
        for direction, rates, gallery in (
            ("image → text", pool.image_to_text, pool.num_texts),
            ("text → image", pool.text_to_image, pool.num_images),
        ):
            queries = f"{rates[RECALL_AT[0]].n:,}"
            cells = (
                shown,
                direction,
                queries,
                f"{gallery:,}",
                *(_rate(rates[k]) for k in RECALL_AT),
            )
            rows.append((kind, cells))
    note = "The caption is the bare label. Every drawing of a label counts as right for it."
    return f'<p class="note">{note}</p>' + html_table(header, rows)
