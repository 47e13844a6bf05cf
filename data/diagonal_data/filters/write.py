"""A filter's folder, written whole: keep.npy comes last, so a folder with one is complete.

keep.npy          uids of what is kept, as often as it is listed
reasons.parquet   uid, reason (null: kept), weight (0: dropped); a row per candidate, in order
funnel.json       counts by reason, which add up to the input
recipe.json       config, inputs and their digest
report.html       the funnel, scores and pictures
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.filters.inputs import record_of
from diagonal_data.filters.keep_list import filter_folder, hex_uids, write_packed
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.report import filter_report
from diagonal_data.funnel import Funnel
from diagonal_infra import run_dir, storage

ROWS_PER_GROUP = 1 << 17
"""Few enough that what is made of them stays in the processor's cache."""
logger = logging.getLogger(__name__)


def write_outcome(
    config: Any, pool: Pool, inputs: Mapping[str, str], scores: Sequence[str] = ()
) -> Funnel:
    """Write the folder; `scores` are values of the pool whose histograms are shown."""
    folder = filter_folder(config.dataset, config.name)
    funnel = pool.funnel()
    # Until the new list is there, no list: an old one beside a new funnel would be believed.
    storage.delete(storage.join(folder, "keep.npy"))
    record = record_of(config, dict(inputs))
    storage.write_bytes(storage.join(folder, "recipe.json"), run_dir.to_json(record))
    storage.write_bytes(storage.join(folder, "funnel.json"), run_dir.to_json(funnel.as_json()))
    _write_reasons(storage.join(folder, "reasons.parquet"), pool)
    report = filter_report(config, pool, funnel, scores)
    storage.write_bytes(storage.join(folder, "report.html"), report.encode())
    kept = pool.kept()
    packed = np.repeat(pool.packed(kept), pool.times(kept))
    write_packed(storage.join(folder, "keep.npy"), packed)
    if not len(kept):
        logger.warning("filter keeps nothing dataset=%s name=%s", config.dataset, config.name)
    return funnel


def _write_reasons(path: str, pool: Pool) -> None:
    names = pa.array(pool.names, pa.string())
    kinds = {"uid": pa.string(), "reason": pa.dictionary(pa.int16(), pa.string())}
    schema = pa.schema({**kinds, "weight": pa.int32()})
    with (
        storage.write_whole(path) as file,
        # Random digits do not shrink, and a dictionary of them is a second copy.
        pq.ParquetWriter(
            file,
            schema,
            use_dictionary=["reason", "weight"],  # pyright: ignore[reportArgumentType]  # the stub knows bool only
            compression={"uid": "none", "reason": "snappy", "weight": "snappy"},  # pyright: ignore[reportArgumentType]  # the stub knows str only
            write_statistics=False,
            # Values and bytes that are handed on at a time: a third less work than Arrow's choice.
            write_batch_size=1 << 16,
            data_page_size=1 << 23,
        ) as writer,
    ):
        for start in range(0, len(pool.codes), ROWS_PER_GROUP):
            part = slice(start, start + ROWS_PER_GROUP)
            codes = pa.array(pool.codes[part], mask=pool.codes[part] == 0)
            reason = pa.DictionaryArray.from_arrays(codes, names)
            columns = [hex_uids(pool.uids[part]), reason, pa.array(pool.times(part))]
            writer.write_table(pa.table(columns, schema=schema), ROWS_PER_GROUP)
