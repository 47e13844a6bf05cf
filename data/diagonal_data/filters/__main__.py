"""Row tables and scores to a keep list: which samples to train on, and why the others not.

    python -m diagonal_data.filters basic --dataset out/d --name basic
    python -m diagonal_data.filters expr --dataset out/d --name mine --where "width >= 200"
    python -m diagonal_data.filters combine "basic & mine" --dataset out/d --name both

Reads Parquet only, so a new threshold takes seconds; the tars are not touched. Writes
DATASET/filters/NAME/{keep.npy, reasons.parquet, funnel.json, recipe.json, report.html}, keep.npy
last; the same inputs give the same bytes.
"""

import pyarrow as pa

from diagonal_data.filters.algebra import parse_algebra
from diagonal_data.filters.config import CombineConfig, ExportConfig, FiltersConfig, ImportConfig
from diagonal_data.filters.inputs import describe_inputs
from diagonal_data.filters.lists import combined, export_list, imported
from diagonal_data.filters.recipes import FILTERS
from diagonal_data.filters.select import select
from diagonal_data.filters.write import write_outcome
from diagonal_data.funnel import Funnel
from diagonal_infra import log
from diagonal_infra.cli import run_command


def main(config: FiltersConfig | CombineConfig | ImportConfig | ExportConfig) -> None:
    """Write the filter and print its funnel; or export one."""
    # Arrow's first choice gives pages back after every shard; to fault them in again took a third
    # of the time. Shards are read side by side: threads for their columns are only in the way.
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    pa.set_cpu_count(1)
    if isinstance(config, ExportConfig):
        log.STDOUT.print(f"{export_list(config):,} entries at {config.output}")
        return
    funnel = write_filter(config)
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: filter {config.name}"))


def write_filter(config: FiltersConfig | CombineConfig | ImportConfig) -> Funnel:
    """Apply the recipe and write the filter's folder.

    Raises:
        UserError: no dataset, no finished shard, a score that is missing or of other samples, or
            a condition or list that cannot be used.
    """
    if isinstance(config, FiltersConfig):
        selected = select(config)
        return write_outcome(config, selected.pool, selected.inputs, selected.scores)
    if isinstance(config, CombineConfig):
        pool = combined(config)
        others = [f"filters/{name}/keep.npy" for name in parse_algebra(config.expression).names()]
        return write_outcome(config, pool, describe_inputs(config.dataset, (), others))
    pool = imported(config)
    return write_outcome(config, pool, describe_inputs(config.dataset, (), [config.list]))


if __name__ == "__main__":
    run_command(main, FILTERS, description=__doc__)
