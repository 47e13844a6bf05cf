"""What a run was trained on, read where its config.json says: the leak check and the funnel."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from diagonal_data.filters.keep_list import pack_uids, read_keep_list, times_listed
from diagonal_data.rows import is_listed, read_rows, taken_down
from diagonal_eval.dataset import (
    SAMPLE_COLUMNS,
    SUCCESS,
    Dataset,
    StoredSample,
    open_dataset,
    read_funnel,
    stored_sample,
)
from diagonal_infra.errors import DiagonalError
from diagonal_train.start import read_config

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """A run's dataset, the rows of the samples kept for training, and how they were chosen."""

    dataset: Dataset
    kept: pa.Table
    funnel: dict[str, int]

    def count_at(self, urls: Collection[str]) -> int:
        """Kept samples that were fetched from one of the URLs."""
        listed = pa.chunked_array([pa.array(list(urls), pa.string())])
        return int(np.count_nonzero(is_listed(self.kept["url"], listed)))

    def samples(self, indexes: list[int]) -> list[StoredSample]:
        """The kept samples at these places, in order."""
        return [stored_sample(row) for row in self.kept.take(indexes).to_pylist()]


def read_training_data(run: str) -> TrainingData | None:
    """The training data of a run; None, with a warning, if it is not to be read from here.

    A dataset or filter made anew under the same name since is taken for what the run saw.

    Raises:
        UserError: there is no run at that path.
    """
    config = read_config(run)
    try:
        return _read(config["data"], config["filter"])
    # A run may be looked at far from its data: no such path, no driver for its store
    # (ImportError), a config without these fields (KeyError), other columns (ValueError).
    except (DiagonalError, OSError, ImportError, KeyError, ValueError) as error:
        logger.warning("training data not read, leaks unknown run=%s error=%s", run, error)
        return None


def _read(data: str, filter_name: str | None) -> TrainingData:
    dataset = open_dataset(data)
    rows = read_rows(data, SAMPLE_COLUMNS)
    kept = ~taken_down(data, rows) & (np.array(rows["status"].to_pylist()) == SUCCESS)
    if filter_name is not None:
        keep = read_keep_list(data, filter_name)
        kept &= times_listed(pack_uids(rows["uid"].to_pylist()), keep) > 0
    return TrainingData(
        dataset=dataset,
        kept=rows.filter(pa.array(kept)),
        funnel=read_funnel(dataset, filter_name),
    )
