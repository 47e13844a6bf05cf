"""What was predicted for every sample of a task: OUTPUT/predictions/NAME.parquet.

key, truth, predicted  string      correct  bool      rank  int32, of the right one; 0 is best
confidence             float32     scores   list<float32>, truths  list<bool>: multilabel only
"""

import re

import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_infra import storage
from diagonal_infra.errors import UserError

COLUMNS = ("key", "truth", "predicted", "correct", "rank", "confidence")
FOLDER = "predictions"


def predictions_path(output: str, task: str) -> str:
    """The file of a task; whatever could mean something to a file system is an underscore."""
    return storage.join(output, FOLDER, re.sub("[^A-Za-z0-9.+-]", "_", task) + ".parquet")


def read_predictions(output: str, task: str) -> pa.Table | None:
    """The table; None if there is no such file.

    Raises:
        UserError: it is no Parquet file or lacks a column.
    """
    path = predictions_path(output, task)
    if not storage.exists(path):
        return None
    try:
        with storage.open_read(path) as file:
            table = pq.read_table(pa.BufferReader(file.read()))
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} cannot be read: {error}; evaluate again") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; evaluate again")
    return table
