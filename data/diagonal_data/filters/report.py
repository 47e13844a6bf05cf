"""report.html of a filter: the funnel, its scores, and pictures of what each reason dropped."""

import base64
import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.filters.keep_list import hex_uids
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.rules import DropReason
from diagonal_data.funnel import Funnel
from diagonal_data.rows import read_sample, read_shard_rows
from diagonal_infra.run_dir import resolved, to_json

IMAGE_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2330; background: #fff; }
td { padding: .1rem .8rem .1rem 0; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8rem; background: #4063d8; border-radius: 2px; }
.all { fill: #c3cbe0; } .kept { fill: #4063d8; } text { font-size: 11px; fill: currentColor; }
figure { display: inline-block; width: 8rem; margin: .4rem; vertical-align: top; }
figure img { width: 100%; height: 8rem; object-fit: contain; background: #f3f4f7; }
figcaption { font-size: .75rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #e6e8ee; background: #14171d; }
  figure img { background: #242933; } }
"""
BINS, BAR_WIDTH, HEIGHT = 60, 10, 120
MOST_COUNTED = 100_000
"""Samples that a histogram is drawn of, evenly spaced."""


def filter_report(config: Any, pool: Pool, funnel: Funnel, scores: Sequence[str]) -> str:
    """A self-contained page; the pictures are evenly spaced samples, so reruns give the same."""
    names = [*sorted(funnel.reasons, key=lambda name: -funnel.reasons[name]), ""]
    charts = "".join(_histogram(pool, name) for name in scores)
    sheets = "".join(_sheet(config.samples_in_report, pool, name) for name in names)
    settings = html.escape(to_json(resolved(config)).decode())
    title = html.escape(f"Filter {config.name} of {config.dataset}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>{_funnel_table(funnel)}{charts}{sheets}"
        f"<h2>Recipe</h2><pre>{settings}</pre></html>"
    )


def image_uri(members: dict[str, bytes]) -> str:
    """The picture among a sample's members as a data URI; empty if there is none."""
    for extension, media_type in IMAGE_TYPES.items():
        if extension in members:
            return f"data:{media_type};base64,{base64.b64encode(members[extension]).decode()}"
    return ""


def _funnel_table(funnel: Funnel) -> str:
    counts = [*funnel.reasons.items(), ("kept", funnel.kept), ("input", funnel.input)]
    lines = "".join(
        f"<tr><td>{html.escape(name)}<td>{count:,}"
        f'<td><span class="bar" style="width:{30 * count / max(funnel.input, 1):.2f}rem"></span>'
        for name, count in counts
    )
    return f"<h2>Funnel</h2><table>{lines}</table>"


def _histogram(pool: Pool, name: str) -> str:
    """All samples in grey, the kept ones before them; empty for what is no number."""
    kind = pool.values[name].type
    if not pa.types.is_floating(kind) and not pa.types.is_integer(kind):
        return ""
    column = pool.values[name]
    picked = np.arange(0, len(column), max(1, len(column) // MOST_COUNTED))
    values = column.take(pa.array(picked)).combine_chunks()
    known = np.asarray(values.is_valid())
    numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(float)
    kept = pool.codes[pool.sample_places[picked[known]]] == 0
    if not len(numbers):
        return ""
    total, edges = np.histogram(numbers, BINS)
    chosen, _ = np.histogram(numbers[kept], edges)
    bars = "".join(_bars(total, chosen))
    width = BINS * BAR_WIDTH
    return (
        f"<h2>{html.escape(name)}</h2><p>{kept.mean():.1%} of the samples with a score are kept</p>"
        f'<svg viewBox="0 0 {width} {HEIGHT + 16}" width="{width}" role="img" '
        f'aria-label="histogram of {html.escape(name)}">{bars}'
        f'<text x="0" y="{HEIGHT + 12}">{edges[0]:.4g}</text>'
        f'<text x="{width}" y="{HEIGHT + 12}" text-anchor="end">{edges[-1]:.4g}</text></svg>'
    )


def _bars(total: np.ndarray, chosen: np.ndarray) -> Iterator[str]:
    for number, counts in enumerate(zip(total, chosen, strict=True)):
        for kind, count in zip(("all", "kept"), counts, strict=True):
            height = HEIGHT * count / total.max()
            yield (
                f'<rect class="{kind}" x="{number * BAR_WIDTH}" y="{HEIGHT - height:.1f}" '
                f'width="{BAR_WIDTH - 1}" height="{height:.1f}"/>'
            )


def _sheet(most: int, pool: Pool, name: str) -> str:
    """Samples of one reason; what was taken down is not shown, what failed has no picture."""
    if name == DropReason.TAKEN_DOWN or not most:
        return ""
    stored = np.flatnonzero((pool.codes == pool.code(name)) & pool.is_sample)
    if len(stored) == 0:
        return ""
    picked = stored[np.linspace(0, len(stored) - 1, min(most, len(stored))).astype(int)]
    figures = ""
    for row in _rows_at(pool, picked):
        members = read_sample(pool.dataset, row).members
        figures += (
            f'<figure><img alt="" src="{image_uri(members)}">'
            f"<figcaption>{html.escape(row['caption'])}</figcaption></figure>"
        )
    return f"<h2>{html.escape(name or 'kept')}</h2>{figures}"


def _rows_at(pool: Pool, places: np.ndarray) -> Iterator[dict[str, Any]]:
    """The rows' shard, caption and place in the tar."""
    ends = np.cumsum(list(pool.shards.values()))
    shards = np.searchsorted(ends, places, side="right")
    names = list(pool.shards)
    for number in np.unique(shards):
        uids = hex_uids(pool.packed(places[shards == number]))
        columns = ["uid", "caption", "tar_offset", "tar_bytes"]
        table = read_shard_rows(pool.dataset, names[number], columns)
        known = pc.call_function("utf8_lower", [table["uid"]])
        rows = table.take(pc.call_function("index_in", [uids], pc.SetLookupOptions(known)))
        yield from (row | {"shard": names[number]} for row in rows.to_pylist())
