"""Look at a dataset in the browser, or write what there is to see as one file.

    python -m diagonal_eval.explore --dataset out/d --model out/run --port 8501
    python -m diagonal_eval.explore report --dataset out/d --output report.html

Pages for people and JSON under /api for programs, on 127.0.0.1 only; docs/explorer.md lists them.
Nothing is written to the dataset. Starts at once; the uids of ten million rows are read in the
background.
"""

import importlib
import logging
import threading
from contextlib import suppress

from diagonal_eval.explore.config import EXPLORE, SERVE, ExploreConfig, ReportConfig
from diagonal_eval.explore.explorer import Explorer, Model
from diagonal_eval.explore.report import write_report
from diagonal_eval.explore.server import UNREADABLE, build_app, build_server, listen
from diagonal_infra import log
from diagonal_infra.cli import run_command
from diagonal_infra.errors import DiagonalError

logger = logging.getLogger(__name__)


def main(config: ExploreConfig | ReportConfig) -> None:
    """Write the report, or serve until Ctrl-C."""
    if isinstance(config, ReportConfig):
        write_report(config)
        log.STDOUT.print(f"report:  {config.output}", highlight=False)
        return
    explorer = Explorer(
        config.dataset,
        model=load_model(config.model) if config.model else None,
        embeddings=config.embeddings,
        seconds=config.seconds,
    )
    with listen(config.port) as listener:
        threading.Thread(target=read_ahead, args=(explorer,), daemon=True).start()
        app = build_app(explorer)
        log.STDOUT.print(f"http://127.0.0.1:{listener.getsockname()[1]}/  (Ctrl-C ends)")
        # The server has ended by then, and raises again what ended it.
        with suppress(KeyboardInterrupt):
            build_server(app).run(sockets=[listener])


def load_model(model: str) -> Model:
    """The model to ask; torch is loaded now, which takes seconds, and not without a model."""
    return importlib.import_module("diagonal_eval.explore.playground").Playground(model)


def read_ahead(explorer: Explorer) -> None:
    """Read the row index, so that the first page that needs it need not wait."""
    try:
        view = explorer.view
        logger.info("row index read samples=%d", view.index.samples)
    except (DiagonalError, *UNREADABLE) as error:
        logger.warning("row index not read error=%s", error)


if __name__ == "__main__":
    run_command(main, EXPLORE, description=__doc__, default=SERVE)
