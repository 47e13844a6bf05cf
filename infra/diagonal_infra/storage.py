"""Files on any fsspec file system, named by local path or URL.

A write appears whole or not at all. Locally: written aside, fsynced, renamed. On S3 and GCS an
object appears when its upload is completed (object_store.py); on other file systems it is written
aside and moved. Errors are `StorageError`s with the path, except those of local reads and writes.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import braceexpand
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_infra import lease, object_store
from diagonal_infra.errors import StorageError, UserError
from diagonal_infra.object_store import storage_errors

LOCK_NAME = ".lock"
PARTIAL_MARK = ".partial-"
"""Part of the name of a file that is still being written; readers and listings pass it over."""


def join(folder: str, *parts: str) -> str:
    """`join("s3://bucket/d/", "shards")` → `s3://bucket/d/shards`."""
    return "/".join([folder.rstrip("/"), *parts])


def exists(path: str) -> bool:
    """Whether a file or folder of that name is there."""
    filesystem, inner = url_to_fs(path)
    with storage_errors(f"look for {path}"):
        return filesystem.exists(inner)


def modified(path: str) -> float | None:
    """When a file was last written, in seconds since 1970 by its store's clock; None if unknown."""
    filesystem, inner = url_to_fs(path)
    with storage_errors(f"look for {path}"):
        try:
            return filesystem.modified(inner).timestamp()
        except NotImplementedError:
            return None


def list_files(folder: str, suffix: str = "") -> list[str]:
    """Names (not paths) of the finished files in `folder`, sorted; empty if there is no folder."""
    filesystem, inner = url_to_fs(folder)
    filesystem.invalidate_cache(inner)
    with storage_errors(f"list {folder}"):
        if not filesystem.isdir(inner):
            return []
        names = [entry.rsplit("/", 1)[-1] for entry in filesystem.ls(inner, detail=False)]
    # A store may list a folder's own placeholder object, whose name ends in a slash.
    return sorted(n for n in names if n and n.endswith(suffix) and PARTIAL_MARK not in n)


def list_folders(folder: str) -> list[str]:
    """Names of the folders in `folder`, sorted; empty if there is no such folder."""
    filesystem, inner = url_to_fs(folder)
    filesystem.invalidate_cache(inner)
    with storage_errors(f"list {folder}"):
        if not filesystem.isdir(inner):
            return []
        entries = filesystem.ls(inner, detail=True)
    names = (e["name"].rstrip("/").rsplit("/", 1)[-1] for e in entries if e["type"] == "directory")
    return sorted(names)


def expand(pattern: str) -> list[str]:
    """Brace patterns, globs and folders to the files they name, in order.

    Raises:
        UserError: a pattern that names no file.
    """
    paths: list[str] = []
    for part in braceexpand.braceexpand(pattern):
        filesystem, inner = url_to_fs(part)
        with storage_errors(f"list {part}"):
            found = _matches(filesystem, inner)
        if not found:
            raise UserError(f"no file matches {part!r} (from {pattern!r}); check the path")
        paths.extend(filesystem.unstrip_protocol(path) for path in found)
    return [path.removeprefix("file://") for path in paths if PARTIAL_MARK not in path]


def _matches(filesystem: Any, inner: str) -> list[str]:
    if filesystem.isdir(inner):
        # Type before isfile, which is a request of its own on object stores; of a link, no file.
        return sorted(
            entry["name"]
            for entry in filesystem.ls(inner, detail=True)
            if not entry["name"].endswith("/")
            and (entry["type"] == "file" or filesystem.isfile(entry["name"]))
        )
    if any(mark in inner for mark in "*?["):
        return sorted(str(path) for path in filesystem.glob(inner))
    return [inner] if filesystem.exists(inner) else []


def local_path(path: str) -> str | None:
    """The plain path of a local file, or None for one elsewhere."""
    filesystem, inner = url_to_fs(path)
    return inner if isinstance(filesystem, LocalFileSystem) else None


def open_read(path: str, *, inflate: bool = True) -> IO[Any]:
    """A binary reader; compressed files are inflated by their extension, unless told not to be."""
    filesystem, inner = url_to_fs(path)
    with storage_errors(f"read {path}"):
        file = filesystem.open(inner, "rb", compression="infer" if inflate else None)
    if isinstance(filesystem, LocalFileSystem):
        return file
    return object_store.named(file, f"read {path}")


def read_bytes(path: str) -> bytes:
    """The whole file."""
    with open_read(path) as file:
        return file.read()


def read_ranges(paths: list[str], starts: list[int], ends: list[int]) -> list[bytes]:
    """Bytes of files on one file system, asked for at once; fewer where a file is shorter."""
    if not paths:
        return []
    filesystem, _ = url_to_fs(paths[0])
    inner = [url_to_fs(path)[1] for path in paths]
    with storage_errors(f"read ranges of {paths[0]} …"):
        return list(filesystem.cat_ranges(inner, starts, ends, on_error="raise"))


@contextmanager
def write_whole(path: str) -> Iterator[IO[Any]]:
    """A binary writer whose file appears under `path` only if the block ends without an error.

    A kill at any instant leaves at most a `*.partial-*` file beside it, which no reader looks at.
    """
    filesystem, inner = url_to_fs(path)
    if object_store.speaks(filesystem, object_store.OBJECT_STORES):
        with object_store.one_upload(filesystem.open(inner, "wb"), path) as file:
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
    with storage_errors(f"delete {path}"), suppress(FileNotFoundError):
        filesystem.rm_file(inner)


def delete_tree(path: str) -> None:
    """Remove a folder with all in it; one that is not there is no error."""
    filesystem, inner = url_to_fs(path)
    filesystem.invalidate_cache(inner)
    with storage_errors(f"delete {path}"), suppress(FileNotFoundError):
        filesystem.rm(inner, recursive=True)


def size(path: str) -> int:
    """Bytes of a file."""
    filesystem, inner = url_to_fs(path)
    with storage_errors(f"look for {path}"):
        return filesystem.size(inner)


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
    local = isinstance(url_to_fs(folder)[0], LocalFileSystem)
    remedy = "choose another folder" if local else "check the bucket, the endpoint and the keys"
    probe = join(folder, f".probe{PARTIAL_MARK}{uuid.uuid4().hex[:8]}")
    try:
        write_bytes(probe, b"")
        delete(probe)
    except (OSError, StorageError) as error:
        cause = error.__cause__ or error
        raise UserError(f"cannot write to {folder!r}: {cause}; {remedy}") from error


@contextmanager
def sole_writer(folder: str) -> Iterator[None]:
    """Hold a folder against a second writer for the block.

    Locally the lock is the kernel's (flock), which goes with the process; on S3 a lease object,
    which a killed writer leaves for a minute. Other stores have no such lock.

    Raises:
        UserError: another process holds it.
    """
    filesystem, inner = url_to_fs(folder)
    if isinstance(filesystem, LocalFileSystem):
        with _flock(folder, Path(inner) / LOCK_NAME):
            yield
    elif object_store.speaks(filesystem, object_store.S3):
        with lease.sole_holder(filesystem, join(inner, LOCK_NAME), folder=folder):
            yield
    else:
        yield


@contextmanager
def _flock(folder: str, path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another run is writing to {folder!r}; wait for it or choose another folder"
            ) from error
        yield


def sync_folder(folder: Path) -> None:
    """Make a rename in a local folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
