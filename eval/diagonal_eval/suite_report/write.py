"""All files of a suite's report, each of which appears whole or not at all.

    OUTPUT/report.html   the page, opens offline        OUTPUT/README.md   model card
    OUTPUT/results.md, results.csv, results.tex         tables

The same inputs give the same bytes: no time stamps, no random choice.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.suite_report.card import card_text
from diagonal_eval.suite_report.page import report_html
from diagonal_eval.suite_report.record import read_tasks
from diagonal_eval.suite_report.tables import csv_table, latex_table, markdown_table
from diagonal_infra import storage


def write_suite_report(
    output: str,
    results: Mapping[str, Any],
    *,
    picture: Callable[[str, str], bytes | None],
    similarity: tuple[Sequence[str], NDArray[np.floating]] | None = None,
    page: str = "report.html",
) -> list[str]:
    """Write the report of `results` and OUTPUT/predictions; the paths of what was written.

    Args:
        output: the evaluation's folder, local or a URL.
        results: the record of results.json; `versions` (library → version) is shown too.
        picture: task and key to the encoded picture, None if it is not at hand; asked only for
            the samples of the worst confusions.
        similarity: class names and the cosines between their embeddings.
        page: name of the page.
    """
    tasks = read_tasks(results)
    texts = {
        page: report_html(output, results, picture, similarity),
        "results.md": markdown_table(tasks),
        "results.csv": csv_table(tasks),
        "results.tex": latex_table(tasks),
        "README.md": card_text(results),
    }
    paths = []
    for name, text in texts.items():
        paths.append(storage.join(output, name))
        # A name can hold half a surrogate pair, which has no bytes.
        storage.write_bytes(paths[-1], text.encode("utf-8", "replace"))
    return paths
