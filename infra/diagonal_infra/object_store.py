"""What is different where files are objects: S3 and Google Cloud Storage, through fsspec.

An object appears when its upload is completed, and an upload that is broken off leaves none.
Requests are tried again by the libraries themselves, after pauses with jitter; what is an error
even then becomes a `StorageError` with the path.
"""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import fsspec.config

from diagonal_infra.errors import StorageError

S3 = frozenset({"s3", "s3a"})
OBJECT_STORES = S3 | {"gs", "gcs"}
"""Their fsspec files abort the upload on `discard`; others' do nothing there."""
SETTINGS = {
    "s3": {
        "use_listings_cache": False,
        # botocore's own pauses; s3fs tries reads of a broken body again on top of it.
        "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 5}},
    },
    # Other processes write to the same folder, so a listing of a minute ago is wrong.
    "gs": {"use_listings_cache": False},
}
"""Given to every file system of that protocol, also the trainer's; fsspec's own configuration goes
first: FSSPEC_S3_CONFIG_KWARGS='{"retries": …}' or a file in ~/.config/fsspec."""

for _protocol, _settings in SETTINGS.items():
    _configured = fsspec.config.conf.setdefault(_protocol, {})
    for _name, _value in _settings.items():
        # botocore writes into the settings of its retries.
        _configured.setdefault(_name, copy.deepcopy(_value))


def speaks(filesystem: Any, protocols: frozenset[str]) -> bool:
    """Whether the file system is one of these."""
    names = filesystem.protocol
    return bool({names} & protocols) if isinstance(names, str) else bool(set(names) & protocols)


def raised_errors() -> tuple[type[Exception], ...]:
    """What a remote file system may raise; a library that was never loaded has raised nothing."""
    found: list[type[Exception]] = [OSError]
    if botocore := sys.modules.get("botocore.exceptions"):
        found += [botocore.BotoCoreError, botocore.ClientError]
    if aiohttp := sys.modules.get("aiohttp"):
        found.append(aiohttp.ClientError)
    return tuple(found)


@contextmanager
def storage_errors(action: str) -> Iterator[None]:
    """Make a file system's error a `StorageError`; `action` is "read s3://bucket/key"."""
    try:
        yield
    except raised_errors() as error:
        raise StorageError(f"cannot {action}: {error}") from error


class _NamedFile:
    """A remote file whose own errors say which file it is; the user's in the block stay theirs."""

    def __init__(self, file: Any, action: str) -> None:
        self._file = file
        self._errors = storage_errors(action)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        return self._errors(value) if callable(value) else value

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __enter__(self) -> "_NamedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def named(file: Any, action: str) -> IO[Any]:
    """The file, with errors as `storage_errors` makes them."""
    return cast(IO[Any], _NamedFile(file, action))


@contextmanager
def one_upload(file: Any, path: str) -> Iterator[IO[Any]]:
    """Complete the upload if the block ends without an error, else abort it.

    A process or server that is killed leaves at most parts of an upload, which are no object; a
    bucket's lifecycle rule (AbortIncompleteMultipartUpload) removes them.
    """
    upload = named(file, f"write {path}")
    try:
        yield upload
        upload.close()
    except BaseException:
        # The first error is the one to tell, and the store may be gone.
        with suppress(*raised_errors()):
            file.discard()
        # Else the garbage collector closes the file, and closing publishes a short object.
        file.closed = True
        raise
