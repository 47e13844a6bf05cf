"""Files on any fsspec file system, named by local path or URL.

A write appears whole or not at all. Locally: written aside, fsynced, renamed. On object stores an
object appears when its upload is completed, so one PUT has the same guarantee.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import braceexpand
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_infra.errors import StorageError, UserError

PARTIAL_MARK = ".partial-"
"""Part of the name of a file that is still being written; readers and listings pass it over."""


def join(folder: str, *parts: str) -> str:
    """`join("s3://bucket/d/", "shards")` → `s3://bucket/d/shards`."""
    return "/".join([folder.rstrip("/"), *parts])


def exists(path: str) -> bool:
    """Whether a file or folder of that name is there."""
    filesystem, inner = url_to_fs(path)
    return filesystem.exists(inner)


def list_files(folder: str, suffix: str = "") -> list[str]:
    """Names (not paths) of the finished files in `folder`, sorted; empty if there is no folder."""
    filesystem, inner = url_to_fs(folder)
    filesystem.invalidate_cache(inner)
    if not filesystem.isdir(inner):
        return []
    names = (entry.rsplit("/", 1)[-1] for entry in filesystem.ls(inner, detail=False))
    return sorted(n for n in names if n.endswith(suffix) and PARTIAL_MARK not in n)


def expand(pattern: str) -> list[str]:
    """Brace patterns, globs and folders to the files they name, in order.

    Raises:
        UserError: a pattern that names no file.
    """
    paths: list[str] = []
    for part in braceexpand.braceexpand(pattern):
        filesystem, inner = url_to_fs(part)
        if filesystem.isdir(inner):
            found = sorted(p for p in filesystem.ls(inner, detail=False) if filesystem.isfile(p))
        elif any(mark in inner for mark in "*?["):
            found = sorted(str(path) for path in filesystem.glob(inner))
        else:
            found = [inner] if filesystem.exists(inner) else []
        if not found:
            raise UserError(f"no file matches {part!r} (from {pattern!r}); check the path")
        paths.extend(filesystem.unstrip_protocol(path) for path in found)
    return [path.removeprefix("file://") for path in paths if PARTIAL_MARK not in path]


def open_read(path: str) -> IO[Any]:
    """A binary reader; compressed files are inflated by their extension."""
    try:
        filesystem, inner = url_to_fs(path)
        return filesystem.open(inner, "rb", compression="infer")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}") from error


def read_bytes(path: str) -> bytes:
    """The whole file."""
    with open_read(path) as file:
        return file.read()


@contextmanager
def write_whole(path: str) -> Iterator[IO[Any]]:
    """A binary writer whose file appears under `path` only if the block ends without an error.

    A kill at any instant leaves at most a `*.partial-*` file beside it, which no reader looks at.
    """
    filesystem, inner = url_to_fs(path)
    local = isinstance(filesystem, LocalFileSystem)
    target = f"{inner}{PARTIAL_MARK}{uuid.uuid4().hex[:8]}" if local else inner
    if local:
        Path(inner).parent.mkdir(parents=True, exist_ok=True)
    file = filesystem.open(target, "wb")
    try:
        yield file
    except BaseException:
        _abandon(file, filesystem, target, local)
        raise
    if local:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        Path(target).replace(inner)
        _sync_folder(Path(inner).parent)
    else:
        file.close()


def write_bytes(path: str, content: bytes) -> None:
    """`write_whole` for content that is at hand."""
    with write_whole(path) as file:
        file.write(content)


def delete(path: str) -> None:
    """Remove a file; one that is not there is no error."""
    filesystem, inner = url_to_fs(path)
    if filesystem.exists(inner):
        filesystem.rm(inner)


def delete_partials(folder: str) -> None:
    """Remove what killed writers left in a local folder."""
    filesystem, inner = url_to_fs(folder)
    if isinstance(filesystem, LocalFileSystem) and Path(inner).is_dir():
        for leftover in Path(inner).glob(f"*{PARTIAL_MARK}*"):
            leftover.unlink(missing_ok=True)


def check_writable(folder: str) -> None:
    """Raise before the work starts if nothing can be written to `folder`.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    probe = join(folder, f".probe{PARTIAL_MARK}{uuid.uuid4().hex[:8]}")
    try:
        write_bytes(probe, b"")
        delete(probe)
    except OSError as error:
        raise UserError(f"cannot write to {folder!r}: {error}; choose another folder") from error


def _abandon(file: IO[Any], filesystem: Any, target: str, local: bool) -> None:
    discard = getattr(file, "discard", None)
    if local:
        file.close()
        filesystem.rm(target)
    elif discard is not None:
        # Aborts the multipart upload; closing would publish a short object.
        discard()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
