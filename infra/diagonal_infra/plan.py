"""What a whole CLIP takes, before anything is spent: hours, bytes, GPU-hours and money.

    python -m diagonal_infra.plan clip-b32
    python -m diagonal_infra.plan clip-l14-336 --training.gpu h100 --training.utilisation 0.3

Prints every quantity with its assumption and where it comes from, simulates a cluster that fetches,
and writes a page with a chart of where it saturates. Nothing is fetched or trained.
"""

import json
import sys

from diagonal_infra import log, storage
from diagonal_infra.cli import run_command
from diagonal_infra.planner.config import PlanConfig
from diagonal_infra.planner.costs import plan_lines, reckon
from diagonal_infra.planner.recipes import PLANS
from diagonal_infra.planner.report import as_json, lines_table, page, sweep_table
from diagonal_infra.planner.sweep import sweep


def main(config: PlanConfig) -> None:
    """Reckon, simulate, print."""
    found = reckon(config)
    lines = plan_lines(config, found)
    runs = list(sweep(config.cluster, found.pictures)) if config.simulate else []
    pairs, samples = config.scrape.pairs / 1e6, config.training.samples / 1e9
    title = f"a CLIP of {pairs:,.0f} M pairs and {samples:g} B samples"
    if config.json:
        sys.stdout.write(json.dumps(as_json(lines, runs), ensure_ascii=False) + "\n")
    else:
        log.STDOUT.print(lines_table(title, lines))
        if runs:
            log.STDOUT.print(sweep_table(runs))
    if config.page:
        text = page(title, lines, runs, config.cluster, found.pictures)
        storage.write_bytes(config.page, text.encode())


if __name__ == "__main__":
    run_command(main, PLANS, description=__doc__)
