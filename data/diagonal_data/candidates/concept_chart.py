"""How many rows the entries have, before and after balancing, as a chart of ranks. Pure."""

import numpy as np

from diagonal_infra.charts import Series, line_chart

POINTS = 200


def concept_chart(before: np.ndarray, after: np.ndarray) -> str:
    """Rows of the entries by rank before balancing, on logarithmic axes; empty if none has any.

    Between two points the curve after balancing is the mean of the entries there.
    """
    order = np.argsort(-before, kind="stable")
    filled = int((before > 0).sum())
    if not filled:
        return ""
    edges = np.unique(np.geomspace(1, filled + 1, POINTS).astype(int))
    starts, ends = edges[:-1], edges[1:]
    ranks = np.log10(starts)
    lines = []
    for colour, counts in ((3, before), (1, after)):
        sums = np.concatenate([[0], np.cumsum(counts[order])])
        means = (sums[ends - 1] - sums[starts - 1]) / (ends - starts)
        lines.append(Series(xs=ranks.tolist(), ys=np.log10(means + 1).tolist(), colour=colour))
    legend = '<p class="legend"><span class="c3">before</span><span class="c1">after</span></p>'
    chart = line_chart(lines, x_label="rank (log10)", y_label="rows (log10)", smooth=False)
    return legend + chart
