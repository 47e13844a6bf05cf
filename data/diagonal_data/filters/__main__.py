"""Row tables to a keep list: which samples to train on, and why the others not.

    python -m diagonal_data.filters basic --dataset out/d --name basic

Reads Parquet only, so a new threshold takes seconds; the tars are not touched. Writes
DATASET/filters/NAME/{keep.npy, funnel.json, recipe.json, report.html}, keep.npy last.
"""

import logging
from collections import Counter

import pyarrow as pa

from diagonal_data.config import FiltersConfig
from diagonal_data.filters.keep_list import filter_folder, write_keep_list
from diagonal_data.filters.report import filter_report
from diagonal_data.filters.rules import COLUMNS, KEPT, first_drop_reasons
from diagonal_data.funnel import Funnel
from diagonal_data.recipes import FILTERS
from diagonal_data.rows import read_rows
from diagonal_infra import log, run_dir, storage
from diagonal_infra.cli import run_command

logger = logging.getLogger(__name__)


def main(config: FiltersConfig) -> None:
    """Write the filter and print its funnel."""
    funnel = write_filter(config)
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: filter {config.name}"))


def write_filter(config: FiltersConfig) -> Funnel:
    """Apply the rules and write the filter's folder.

    Raises:
        UserError: no dataset, no finished shard, or a hold-out list that cannot be used.
    """
    rows = read_rows(config.dataset, [*COLUMNS, "tar_offset", "tar_bytes"])
    reasons = first_drop_reasons(rows, config)
    kept = reasons == KEPT
    counts = Counter(str(reason) for reason in reasons[~kept])
    funnel = Funnel(input=rows.num_rows, kept=int(kept.sum()), reasons=dict(sorted(counts.items())))
    folder = filter_folder(config.dataset, config.name)
    # Until the new list is there, no list: an old one beside a new funnel would be believed.
    storage.delete(storage.join(folder, "keep.npy"))
    recipe = {"config": run_dir.resolved(config), "code_revision": run_dir.code_revision()}
    storage.write_bytes(storage.join(folder, "recipe.json"), run_dir.to_json(recipe))
    storage.write_bytes(storage.join(folder, "funnel.json"), run_dir.to_json(funnel.as_json()))
    report = filter_report(config, rows, reasons, funnel)
    storage.write_bytes(storage.join(folder, "report.html"), report.encode())
    uids = rows["uid"].filter(pa.array(kept)).to_pylist()
    write_keep_list(storage.join(folder, "keep.npy"), uids)
    if not uids:
        logger.warning("filter keeps nothing dataset=%s name=%s", config.dataset, config.name)
    return funnel


if __name__ == "__main__":
    run_command(main, FILTERS, description=__doc__)
