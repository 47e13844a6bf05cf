"""The explorer's contact sheets as one file that needs no server.

Samples of the whole dataset, each score's histogram with the samples next to two thresholds, the
largest clusters of copies, what filters keep and drop. Pictures are small copies inside the page.
"""

from typing import Any

from diagonal_data.filters.columns import Catalogue
from diagonal_eval.charts import data_uri, thumbnail
from diagonal_eval.explore import browse, compare
from diagonal_eval.explore.cards import picture
from diagonal_eval.explore.config import ReportConfig
from diagonal_eval.explore.diff import filter_names, listed, spread
from diagonal_eval.explore.explorer import Explorer, View
from diagonal_eval.explore.pages import style, templates
from diagonal_eval.explore.values import CLUSTER
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError
from diagonal_infra.html_page import html_page

THUMBNAIL_PIXELS = 160
SHARES = (0.5, 0.3)
"""Kept by the thresholds that are drawn."""
MOST_CLUSTERS, MOST_FILTERS = 3, 6


def write_report(config: ReportConfig) -> None:
    """Write the page, whole or not at all.

    Raises:
        UserError: no dataset, or one without a finished shard.
    """
    explorer = Explorer(config.dataset)
    view, most = explorer.view, config.pictures_per_sheet
    found = browse.overview(explorer)
    problems: list[str] = found["problems"]
    body = (
        templates()
        .get_template("report.html")
        .render(
            **found,
            sheet=view.rows.cards(spread(view.index.with_reason(""), most)),
            histograms=_histograms(explorer, config, problems),
            copies=_copies(explorer, found["columns"], most, problems),
            filter_sheets=_filters(view, most, problems),
            src=lambda card: _source(view, card),
        )
    )
    page = html_page(f"Diagonal: {config.dataset}", f"<style>{style()}</style>{body}")
    storage.write_bytes(config.output, page.encode())


def _source(view: View, card: dict[str, Any]) -> str:
    """A small copy of a card's picture as a data URI; empty if it cannot be read."""
    try:
        small = thumbnail(
            picture(view.dataset, view.row(card["uid"], card["at"])), THUMBNAIL_PIXELS
        )
    except (StorageError, UserError):
        return ""
    return "" if small is None else data_uri(small, "image/jpeg")


def _histograms(
    explorer: Explorer, config: ReportConfig, problems: list[str]
) -> list[dict[str, Any]]:
    """Per score column what the page draws; one that cannot be read is a problem."""
    view, found = explorer.view, []
    try:
        scores = Catalogue(view.dataset).scores()
    except UserError:
        return []  # already among the problems
    numbers = [name for name in view.numeric_columns() if name in scores]
    for name in [name for name in numbers if not name.endswith(CLUSTER)][: config.most_columns]:
        try:
            values = view.values(name)
            drawn = compare.histogram(explorer, name)
        except UserError as error:
            problems.append(str(error))
            continue
        known = len(values.order)
        cuts = [values.order[int((known - 1) * (1 - share))] for share in SHARES if known]
        thresholds = [float(values.by_place[place]) for place in cuts]
        lines = [
            compare.next_to(view, values, threshold, config.pictures_per_sheet)
            for threshold in dict.fromkeys(thresholds)
        ]
        found.append(drawn | {"lines": lines})
    return found


def _copies(
    explorer: Explorer, columns: dict[str, str], most: int, problems: list[str]
) -> dict[str, Any]:
    """Per column of clusters the largest ones."""
    found = {}
    for name in [name for name in columns if name.endswith(CLUSTER)]:
        try:
            found[name] = compare.clusters(explorer, name, 0, MOST_CLUSTERS, most)
        except UserError as error:
            problems.append(str(error))
    return found


def _filters(view: View, most: int, problems: list[str]) -> dict[str, Any]:
    """Per filter what it keeps and drops."""
    found = {}
    for name in filter_names(view.dataset)[:MOST_FILTERS]:
        try:
            mask, _ = listed(view.dataset, view.index, name)
        except UserError as error:
            problems.append(str(error))
            continue
        kept = mask.nonzero()[0]
        dropped = ((view.index.codes == 0) & ~mask).nonzero()[0]
        found[name] = {
            side: {"count": len(places), "cards": view.rows.cards(spread(places, most))}
            for side, places in (("kept", kept), ("dropped", dropped))
        }
    return found
