"""How to tell that a file is another than before, without opening it."""

import os
import time
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_infra import storage
from diagonal_infra.object_store import storage_errors

CLOCK_NS = 50_000_000
"""Longest tick of the clock that file systems take their times from, with a margin."""


def file_marks(folder: str, suffix: str = "") -> dict[str, str]:
    """The finished files in `folder`, each with a text that is another once the file is another.

    Empty where there is nothing to tell by: on stores that list no digest or version of an object,
    and for a local file of this moment, as a second write might bear the same time.
    """
    filesystem, inner = url_to_fs(folder)
    filesystem.invalidate_cache(inner)
    with storage_errors(f"list {folder}"):
        if not filesystem.isdir(inner):
            return {}
        if isinstance(filesystem, LocalFileSystem):
            return _local_marks(inner, suffix)
        entries = filesystem.ls(inner, detail=True)
    found = {entry["name"].rsplit("/", 1)[-1]: _store_mark(entry) for entry in entries}
    return {name: mark for name, mark in found.items() if _is_finished(name, suffix)}


def _is_finished(name: str, suffix: str) -> bool:
    return bool(name) and name.endswith(suffix) and storage.PARTIAL_MARK not in name


def _local_marks(folder: str, suffix: str) -> dict[str, str]:
    settled = time.time_ns() - CLOCK_NS
    marks = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _is_finished(entry.name, suffix):
                continue
            stat = entry.stat()
            mark = f"{stat.st_size}-{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
            marks[entry.name] = mark if stat.st_ctime_ns < settled else ""
    return marks


def _store_mark(entry: dict[str, Any]) -> str:
    known = (entry.get(key) for key in ("ETag", "etag", "md5Hash", "generation"))
    return next((f"{entry.get('size')}-{mark}" for mark in known if mark), "")
