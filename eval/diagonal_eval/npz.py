"""Arrays of a .npz file one by one; a local file is mapped, not read.

numpy's .npz is a zip whose arrays lie in it as they are, unless they were compressed.
"""

import io
import struct
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_infra import storage

LOCAL_HEADER_BYTES = 30
BROKEN = (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError, struct.error)
"""What reading a file that is none, or half of one, raises."""


def read_text(archive: zipfile.ZipFile, key: str) -> str:
    """A string that was saved as an array; empty if there is none of that name."""
    if f"{key}.npy" not in archive.namelist():
        return ""
    return str(_loaded(archive, key))


def map_array(path: str, archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    """An array of the archive at `path`; a view of the file where it can be."""
    entry, local = archive.getinfo(f"{key}.npy"), storage.local_path(path)
    if local is None or entry.compress_type != zipfile.ZIP_STORED:
        return _loaded(archive, key)
    with storage.open_read(local) as file:
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER_BYTES)
        # The lengths of name and extra field stand in the local header; the directory's may differ.
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        file.seek(entry.header_offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes)
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        if dtype.hasobject or not np.prod(shape):
            return _loaded(archive, key)
        order = "F" if fortran else "C"
        return np.memmap(local, dtype, "r", offset=file.tell(), shape=shape, order=order)


def _loaded(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    return np.load(io.BytesIO(archive.read(f"{key}.npy")), allow_pickle=False)
