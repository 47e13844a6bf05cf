"""Files on any fsspec file system, named by local path or URL.

A write appears whole or not at all. Locally: written aside, fsynced, renamed. On S3 and GCS an
object appears when its upload is completed, so one PUT has the same guarantee; on other file
systems it is written aside and moved.
"""

import fcntl
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

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs"})
"""Their fsspec files abort the upload on `discard`; others' do nothing there."""
LOCK_NAME = ".lock"
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
    if _appears_when_closed(filesystem):
        with _one_upload(filesystem.open(inner, "wb")) as file:
            yield file
        return
    target = f"{inner}{PARTIAL_MARK}{uuid.uuid4().hex[:8]}"
    filesystem.makedirs(filesystem._parent(inner), exist_ok=True)
    file = filesystem.open(target, "wb")
    try:
        yield file
    except BaseException:
        file.close()
        filesystem.rm(target)
        raise
    if isinstance(filesystem, LocalFileSystem):
        file.flush()
        os.fsync(file.fileno())
        file.close()
        Path(target).replace(inner)
        sync_folder(Path(inner).parent)
    else:
        file.close()
        filesystem.mv(target, inner)


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


@contextmanager
def sole_writer(folder: str) -> Iterator[None]:
    """Hold a local folder against a second writer for the block; object stores have no such lock.

    The lock is the kernel's (flock), so a killed writer leaves none behind.

    Raises:
        UserError: another process holds it.
    """
    filesystem, inner = url_to_fs(folder)
    if not isinstance(filesystem, LocalFileSystem):
        yield
        return
    with (Path(inner) / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another run is writing to {folder!r}; wait for it or choose another folder"
            ) from error
        yield


def _appears_when_closed(filesystem: Any) -> bool:
    """Whether an object is there only when its upload is completed, and can be aborted."""
    protocols = filesystem.protocol
    names = {protocols} if isinstance(protocols, str) else set(protocols)
    return bool(names & OBJECT_STORES)


@contextmanager
def _one_upload(file: Any) -> Iterator[IO[Any]]:
    try:
        yield file
    except BaseException:
        file.discard()
        # Else the garbage collector closes the file, and closing publishes a short object.
        file.closed = True
        raise
    file.close()


def sync_folder(folder: Path) -> None:
    """Make a rename in a local folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
