"""Every stage runs, and a real Prometheus that asks them answers each query about stages."""

import time
import urllib.error
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.data.dedup.small_dataset import encoded as as_png
from tests.data.dedup.small_dataset import picture, row_for
from tests.data.dedup.small_dataset import write_dataset as write_rows
from tests.eval.scores.drawn import encoded, shapes, write_dataset
from tests.eval.suite.test_run import write_squares
from tests.prometheus_server import (
    WAIT_SECONDS,
    is_answered,
    needs_prometheus,
    prometheus,
    queries,
)

from diagonal_data import decontaminate
from diagonal_data.candidates.__main__ import main as candidates
from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.dedup.__main__ import main as dedup
from diagonal_data.dedup.config import IndexConfig, MarkConfig, PerceptualConfig
from diagonal_data.filters.__main__ import write_filter
from diagonal_data.filters.config import FiltersConfig
from diagonal_data.reshard.__main__ import main as reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_eval.__main__ import main as evaluate
from diagonal_eval.scores.__main__ import main as scores
from diagonal_eval.scores.config import ClipConfig
from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.suite.config import SuiteConfig
from diagonal_infra.stage_metrics import serving_stage

Run = tuple[Callable[[Any], object], Any]
PICTURES = [[(encoded(shapes(n), "JPEG"), f"drawing {n}") for n in range(3)] for _ in range(2)]


def runs(folder: Path, model: str) -> dict[str, Run]:
    """By stage: the command, and a small thing for it to do."""
    (folder / "list.csv").write_text("url,caption\nhttp://a.test/1.jpg,a fox\n")
    drawn = write_dataset(folder / "drawn", PICTURES)
    rows = write_rows(folder / "rows", [[row_for(n, picture(n)) for n in range(3)]])
    (folder / "eval").mkdir()
    (folder / "eval" / "one.png").write_bytes(as_png(picture(1)))
    index = str(folder / "eval.index")
    decontaminate.main(IndexConfig(images=str(folder / "eval"), output=index, set="flowers"))
    lists = CandidatesConfig(
        reader="urls",
        input=(str(folder / "list.csv"),),
        output=str(folder / "candidates"),
        detect_language=False,
        local=True,
    )
    suite = SuiteConfig(
        checkpoint=model,
        tasks=(write_squares(folder / "squares", [0, 1, 2]),),
        output=str(folder / "results"),
        sets=SetsConfig(root=str(folder / "none"), cache=str(folder / "cache")),
        resamples=100,
    )
    copy = ReshardConfig(dataset=drawn, filter=None, output=str(folder / "copy"), local=True)
    return {
        "candidates": (candidates, lists),
        "scores": (scores, ClipConfig(dataset=drawn, model=model, local=True)),
        "dedup": (dedup, PerceptualConfig(dataset=rows)),
        "decontaminate": (decontaminate.main, MarkConfig(dataset=rows, index=(index,))),
        "filters": (write_filter, FiltersConfig(dataset=drawn, name="all")),
        "reshard": (reshard, copy),
        "eval": (evaluate, suite),
    }


@needs_prometheus
def test_every_query_about_stages_is_answered_and_each_stage_says_that_it_is_done(
    tmp_path: Path, tiny_run: str, free_port: Callable[[], int]
) -> None:
    commands = runs(tmp_path, tiny_run)
    ports = {stage: free_port() for stage in commands}
    done, units = "diagonal_stage_done_units_total", "diagonal_stage_units"
    is_done = [f'{done}{{stage="{stage}"}} == {units} > 0' for stage in commands]
    open_queries = queries("stages") + is_done
    with ExitStack() as served:
        for stage, (main, config) in commands.items():
            served.enter_context(serving_stage(replace(config, metrics_port=ports[stage]), stage))
            main(config)
        address = served.enter_context(prometheus(tmp_path, free_port(), list(ports.values())))
        deadline = time.monotonic() + WAIT_SECONDS
        while open_queries and time.monotonic() < deadline:
            with suppress(ConnectionError, urllib.error.URLError):
                open_queries = [q for q in open_queries if not is_answered(address, q)]
            time.sleep(0.5)
        items = 'diagonal_stage_items_total{{stage="{}", kind="{}", outcome="{}"}} == {}'
        for found in (
            items.format("candidates", "rows", "kept", 1),
            items.format("scores", "samples", "scored", 6),
            items.format("reshard", "samples", "copied", 6),
        ):
            assert is_answered(address, found)
        assert not is_answered(address, "diagonal_stage_misspelt")
    assert not open_queries
