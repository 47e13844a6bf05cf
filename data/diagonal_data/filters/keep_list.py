"""The keep list: uids as sorted pairs of 64-bit integers, in DataComp's subset format.

np.dtype("u8,u8") = (first 16 hex digits, last 16 hex digits), sorted; a repeated uid means
upsampling: the trainer shows that sample as often as it is listed
"""

import io
from collections.abc import Sequence

import numpy as np

from diagonal_infra import storage
from diagonal_infra.errors import UserError

UID_DTYPE = np.dtype("u8,u8")


def filter_folder(dataset: str, name: str) -> str:
    """`DATASET/filters/NAME`."""
    return storage.join(dataset, "filters", name)


def pack_uids(uids: Sequence[str]) -> np.ndarray:
    """Hex uids as an array of `UID_DTYPE`, in the order given."""
    raw = bytes.fromhex("".join(uids))
    return np.frombuffer(raw, dtype=">u8").astype("u8").view(UID_DTYPE).reshape(len(uids))


def write_keep_list(path: str, uids: Sequence[str]) -> None:
    """Sort and write, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, np.sort(pack_uids(uids), order=["f0", "f1"]))
    storage.write_bytes(path, buffer.getvalue())


def read_keep_list(dataset: str, name: str) -> np.ndarray:
    """The sorted keep list of a named filter, dtype `UID_DTYPE`.

    Raises:
        UserError: there is no such filter.
    """
    path = storage.join(filter_folder(dataset, name), "keep.npy")
    if not storage.exists(path):
        raise UserError(
            f"no filter {name!r} in {dataset!r}; make it with "
            f"'python -m diagonal_data.filters basic --dataset {dataset} --name {name}'"
        )
    return np.load(io.BytesIO(storage.read_bytes(path)))
