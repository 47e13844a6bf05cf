"""report.html of a filter: the funnel, and pictures of what each reason dropped."""

import base64
import html

import numpy as np
import pyarrow as pa

from diagonal_data.config import FiltersConfig
from diagonal_data.filters.rules import KEPT, DropReason
from diagonal_data.funnel import Funnel
from diagonal_data.rows import read_sample, taken_down
from diagonal_infra.run_dir import resolved, to_json

IMAGE_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2330; background: #fff; }
td { padding: .1rem .8rem .1rem 0; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8rem; background: #4063d8; border-radius: 2px; }
figure { display: inline-block; width: 8rem; margin: .4rem; vertical-align: top; }
figure img { width: 100%; height: 8rem; object-fit: contain; background: #f3f4f7; }
figcaption { font-size: .75rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #e6e8ee; background: #14171d; }
  figure img { background: #242933; } }
"""


def filter_report(
    config: FiltersConfig, rows: pa.Table, reasons: np.ndarray, funnel: Funnel
) -> str:
    """A self-contained page; the pictures are evenly spaced samples, so reruns give the same."""
    reasons = np.where(taken_down(config.dataset, rows), DropReason.TAKEN_DOWN, reasons)
    names = [*sorted(funnel.reasons, key=lambda name: -funnel.reasons[name]), KEPT]
    sheets = "".join(_sheet(config, rows, reasons, name) for name in names)
    settings = html.escape(to_json(resolved(config)).decode())
    title = html.escape(f"Filter {config.name} of {config.dataset}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style><h1>{title}</h1>{_funnel_table(funnel)}{sheets}"
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


def _sheet(config: FiltersConfig, rows: pa.Table, reasons: np.ndarray, name: str) -> str:
    chosen = reasons == name
    stored = np.flatnonzero(chosen & np.asarray(rows["tar_bytes"].is_valid()))
    if len(stored) == 0 or name == DropReason.TAKEN_DOWN:
        return ""
    count = min(config.samples_in_report, len(stored))
    picked = stored[np.linspace(0, len(stored) - 1, count).astype(int)]
    figures = ""
    for row in rows.take(pa.array(picked)).to_pylist():
        members = read_sample(config.dataset, row).members
        figures += (
            f'<figure><img alt="" src="{image_uri(members)}">'
            f"<figcaption>{html.escape(row['caption'])}</figcaption></figure>"
        )
    return f"<h2>{html.escape(name or 'kept')}</h2>{figures}"
