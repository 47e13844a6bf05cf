"""The keep list: uids as sorted pairs of 64-bit integers, in DataComp's subset format.

np.dtype("u8,u8") = (first 16 hex digits, last 16 hex digits), sorted; a repeated uid means
upsampling: the trainer shows that sample as often as it is listed
"""

import binascii
import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from diagonal_data.uid_set import HEX_DIGITS
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


def hex_uids(packed: np.ndarray) -> pa.StringArray:
    """Packed uids as text, in the order given."""
    digits = binascii.hexlify(halves_of(packed).astype(">u8").data)
    ends = np.arange(len(packed) + 1, dtype=np.int32) * HEX_DIGITS
    return pa.StringArray.from_buffers(len(packed), pa.py_buffer(ends), pa.py_buffer(digits))


def halves_of(packed: np.ndarray) -> np.ndarray:
    """Packed uids as N×2 uint64, upper half first."""
    return packed.view(np.uint64).reshape(-1, 2)


def times_listed(uids: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """How often each of the packed `uids` stands in a sorted keep list; int64."""
    wanted, listed = halves_of(uids), halves_of(keep)
    first = np.searchsorted(listed[:, 0], wanted[:, 0], "left")
    after = np.searchsorted(listed[:, 0], wanted[:, 0], "right")
    times = after - first
    found = np.flatnonzero(times)
    # The upper half is the same in listed[first:after]; the lower decides, and is sorted there.
    lowest, highest = listed[first[found], 1], listed[after[found] - 1, 1]
    mixed = (lowest != wanted[found, 1]) | (highest != wanted[found, 1])
    for row in found[mixed]:
        times[row] = np.count_nonzero(listed[first[row] : after[row], 1] == wanted[row, 1])
    return times


def sorted_uids(packed: np.ndarray) -> np.ndarray:
    """Packed uids in the order of the format; themselves if they are in it."""
    halves = halves_of(packed)
    upper, lower = halves[:, 0], halves[:, 1]
    rising = upper[1:] > upper[:-1]
    if (rising | ((upper[1:] == upper[:-1]) & (lower[1:] >= lower[:-1]))).all():
        return packed
    # The upper half alone, which seldom repeats, is sorted many times faster than the pairs.
    order = np.argsort(upper)
    if (np.diff(upper[order]) == 0).any():
        order = np.lexsort((lower, upper))
    return packed[order]


def write_keep_list(path: str, uids: Sequence[str]) -> None:
    """Sort and write, whole or not at all."""
    write_packed(path, pack_uids(uids))


def write_packed(path: str, packed: np.ndarray) -> None:
    """`write_keep_list` of packed uids."""
    buffer = io.BytesIO()
    np.save(buffer, sorted_uids(packed))
    storage.write_bytes(path, buffer.getvalue())


def read_keep_list(dataset: str, name: str) -> np.ndarray:
    """The sorted keep list of a named filter, dtype `UID_DTYPE`.

    Raises:
        UserError: there is no such filter, or its file is no keep list.
    """
    path = storage.join(filter_folder(dataset, name), "keep.npy")
    if not storage.exists(path):
        raise UserError(
            f"no filter {name!r} in {dataset!r}; make it with "
            f"'python -m diagonal_data.filters basic --dataset {dataset} --name {name}'"
        )
    return sorted_uids(read_packed(path))


def read_packed(path: str) -> np.ndarray:
    """A file of uids in DataComp's format, in whatever order it is.

    Raises:
        UserError: it is none.
    """
    try:
        packed = np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path!r} is no .npy file of numbers: {error}") from error
    if packed.dtype != UID_DTYPE or packed.ndim != 1:
        raise UserError(
            f"{path!r} holds {packed.dtype}{packed.shape}, a keep list has dtype 'u8,u8'"
        )
    return packed
