"""The report: one HTML page that needs nothing else, neither network nor script.

Pictures are data URIs, charts inline SVG, and the page's own policy forbids any request. Captions
and labels come from strangers' pages: every text is escaped where it enters the page.

Shape suffixes: N rows or columns of a matrix.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from diagonal_eval.charts import Bar, bar_chart, data_uri, heat_map_png
from diagonal_eval.pictures import LossPoint, SheetPicture, SimilarityMatrices
from diagonal_eval.report_tables import (
    HtmlRow,
    html_table,
    interval_text,
    percent,
    retrieval_table,
    template_table,
    zeroshot_table,
)
from diagonal_eval.results import ALL_HELD_OUT, Results, TaskResult
from diagonal_eval.retrieval import RECALL_AT
from diagonal_infra import storage
from diagonal_infra.charts import Series, line_chart
from diagonal_infra.html_page import html_page

STAGE_TIMES_MARK = "<!-- stage times -->"
"""Where `add_stage_times` puts its section."""
HEAT_MAP_CELL = 6
BAR_PIXELS = 256
NO_TRAINING_DATA = '<p class="note">The dataset that the run names cannot be read here.</p>'


@dataclass(frozen=True, kw_only=True)
class ReportParts:
    """Everything the page shows."""

    title: str
    results: Results
    kept: Sequence[SheetPicture]
    held_out: Sequence[SheetPicture]
    matrices: SimilarityMatrices
    loss_curve: Sequence[LossPoint]
    config: dict[str, Any]
    code_revision: str


def write_report(path: str, parts: ReportParts) -> None:
    """Write the page; it appears whole or not at all."""
    storage.write_bytes(path, report_html(parts).encode())


def report_html(parts: ReportParts) -> str:
    """The whole page."""
    results = parts.results
    body = [
        f"<h1>{escape(parts.title)}</h1>",
        f'<p class="lead">Checkpoint step {results.checkpoint_step:,} · dataset '
        f"{results.dataset_digest[:12]} · model {results.encoder_digest[:12]} · intervals are 95 %"
        "</p>",
        _tiles(results),
        _section("Zero-shot classification", zeroshot_table(results)),
        _section("Accuracy by style", _style_bars(results.tasks)),
        _section("Prompt templates", template_table(results)),
        _section("Retrieval on held-out styles", retrieval_table(results)),
        _section("The diagonal", _matrices(parts.matrices)),
        _section("Training loss", _loss(parts.loss_curve)),
        _section("Held-out drawings and first guesses", _held_out(parts.held_out)),
        _section("Training samples", _kept(parts)),
        _section("Funnel", _funnel(results)),
        STAGE_TIMES_MARK,
        _section("Configuration", _configuration(parts)),
    ]
    return html_page(parts.title, "".join(body))


def add_stage_times(
    path: str, wall_seconds: Mapping[str, float], cpu_seconds: Mapping[str, float]
) -> None:
    """Put what each stage of a whole run took into a report; a second call replaces the first."""
    rows: list[HtmlRow] = [
        ("", (escape(stage), f"{wall:,.1f}", f"{cpu_seconds.get(stage, 0.0):,.1f}"))
        for stage, wall in wall_seconds.items()
    ]
    total = ("all", f"{sum(wall_seconds.values()):,.1f}", f"{sum(cpu_seconds.values()):,.1f}")
    table = html_table(("stage", "wall seconds", "CPU seconds"), [*rows, ("strong", total)])
    before, _, rest = storage.read_bytes(path).decode().partition(STAGE_TIMES_MARK)
    after = rest.rpartition(STAGE_TIMES_MARK)[2]
    section = f"{STAGE_TIMES_MARK}{_section('Time spent', table)}{STAGE_TIMES_MARK}"
    storage.write_bytes(path, f"{before}{section}{after}".encode())


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def _tiles(results: Results) -> str:
    tiles = []
    for concepts, mean in results.means.items():
        tiles.append(
            _tile(
                f"acc1, {concepts} concepts",
                percent(mean.acc1),
                f"{interval_text(mean.acc1_interval)}, n = {mean.n:,}, mean of {len(mean.styles)} "
                f"held-out styles; acc5 {percent(mean.acc5)}, chance {percent(mean.chance)}",
            )
        )
    pool = results.retrieval[ALL_HELD_OUT]
    for name, rates in (("image → text", pool.image_to_text), ("text → image", pool.text_to_image)):
        rate = rates[RECALL_AT[0]]
        note = f"{interval_text(rate.interval)}, n = {rate.n:,}, all held-out drawings"
        tiles.append(_tile(f"recall@1, {name}", percent(rate.value), note))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(what: str, number: str, note: str) -> str:
    return (
        f'<div class="tile"><span class="what">{escape(what)}</span><b>{number}</b>'
        f"<span>{escape(note)}</span></div>"
    )


def _style_bars(tasks: Sequence[TaskResult]) -> str:
    charts = []
    for concepts in ("seen", "unseen"):
        bars = []
        for result in tasks:
            rate = result.ensemble.accuracy(1)
            if result.task.concepts == concepts:
                name = result.task.style + (" (trained)" if result.task.trained else "")
                text = f"{percent(rate.value)}  n={rate.n:,}"
                muted = not result.task.held_out_style
                bar = Bar(
                    label=name, value=rate.value, text=text, interval=rate.interval, muted=muted
                )
                bars.append(bar)
        if bars:
            maximum = max(bar.interval[1] for bar in bars if bar.interval)
            charts.append(f"<h3>{concepts} concepts, acc1</h3>" + bar_chart(bars, maximum=maximum))
    note = '<p class="note">Held-out styles in colour, training styles in grey; whiskers: 95 %.</p>'
    return note + "".join(charts)


def _matrices(matrices: SimilarityMatrices) -> str:
    both = np.stack([matrices.before_NN, matrices.after_NN])
    low, high = float(both.min()), float(both.max())
    figures = []
    for title, matrix_NN in (
        ("before training", matrices.before_NN),
        (f"after step {matrices.step:,}", matrices.after_NN),
    ):
        png = heat_map_png(matrix_NN, low=low, high=high, cell=HEAT_MAP_CELL)
        size = len(matrix_NN)
        diagonal = float(np.trace(matrix_NN)) / size
        others = (float(matrix_NN.sum()) - diagonal * size) / max(size * size - size, 1)
        hits = int((matrix_NN.argmax(axis=1) == np.arange(size)).sum())
        figures.append(
            f'<figure><img alt="similarity matrix {title}" src="{data_uri(png, "image/png")}">'
            f"<figcaption><b>{title}</b>: mean cosine {diagonal:.3f} on the diagonal, "
            f"{others:.3f} off it; row maximum on the diagonal in {hits} of {size} rows"
            "</figcaption></figure>"
        )
    ramp = heat_map_png(np.linspace(0, 1, BAR_PIXELS)[None, :], low=0, high=1, cell=1)
    scale = (
        f'<div class="scale">cosine {low:.2f} <img alt="colour scale" '
        f'src="{data_uri(ramp, "image/png")}"> {high:.2f}</div>'
    )
    note = (
        f"{len(matrices.after_NN)} drawings of the held-out style {escape(matrices.source)} (rows) "
        "against their labels (columns), ordered by group; both on one colour scale."
    )
    return f'<p class="note">{note}</p><div class="pair">{"".join(figures)}</div>{scale}'


def _loss(curve: Sequence[LossPoint]) -> str:
    if not curve:
        return '<p class="note">The run folder has no metrics.jsonl.</p>'
    line = Series(xs=[point.samples_seen for point in curve], ys=[point.loss for point in curve])
    chart = line_chart([line], x_label="samples seen", y_label="loss")
    last = f"{len(curve):,} logged steps, last loss {curve[-1].loss:.3f}"
    note = f"{last}; the thick line is a moving median."
    return f'<p class="note">{note}</p>{chart}'


def _picture(picture: SheetPicture, kind: str, below: str) -> str:
    source = data_uri(picture.jpeg, "image/jpeg") if picture.jpeg else "data:,"
    return (
        f'<figure class="{kind}" title="{escape(picture.uid)}"><img alt="" src="{source}">'
        f"<figcaption>{escape(picture.caption)}{below}</figcaption></figure>"
    )


def _held_out(pictures: Sequence[SheetPicture]) -> str:
    figures = []
    for picture in pictures:
        guesses = "".join(
            f'<li class="{"hit" if guess == picture.caption else ""}">{escape(guess)}</li>'
            for guess in picture.guesses
        )
        kind = "right" if picture.guesses[:1] == (picture.caption,) else "wrong"
        figures.append(
            _picture(picture, kind, f"<small>{escape(picture.style)}</small><ol>{guesses}</ol>")
        )
    note = "Drawn at random. Under each picture its true label, then the first three guesses."
    return f'<p class="note">{note}</p><div class="sheet">{"".join(figures)}</div>'


def _kept(parts: ReportParts) -> str:
    if parts.results.funnel is None:
        return NO_TRAINING_DATA
    figures = "".join(_picture(picture, "", "") for picture in parts.kept)
    note = "Drawn at random from the keep list, with the captions as trained."
    return f'<p class="note">{note}</p><div class="sheet">{figures}</div>'


def _funnel(results: Results) -> str:
    if results.funnel is None:
        return NO_TRAINING_DATA
    total = sum(results.funnel.values())
    bars = [
        Bar(
            label=reason,
            value=count,
            text=f"{count:,}  {percent(count / total)}",
            muted=reason != "kept",
        )
        for reason, count in results.funnel.items()
    ]
    note = f"{total:,} candidates, each with exactly one outcome."
    maximum = max(results.funnel.values())
    return f'<p class="note">{note}</p>' + bar_chart(bars, maximum=maximum)


def _configuration(parts: ReportParts) -> str:
    text = json.dumps(parts.config, indent=2, ensure_ascii=False)
    revision = f"code revision {escape(parts.code_revision)}, seed {parts.results.seed}"
    return f'<p class="note">{revision}</p><pre>{escape(text)}</pre>'
