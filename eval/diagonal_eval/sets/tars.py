"""Webdataset tars of an evaluation set: indexed once, read by byte range.

    CACHE/tars/DIGEST-3.tar      a remote tar, whole; appears by renaming
    CACHE/index/DIGEST.json      what is in a tar: place and digest of each picture, small members

DIGEST is of the address and of what its store says of the file's version (size, time, ETag), so a
tar that was replaced is fetched and indexed anew.
"""

import io
import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from diagonal_data.tar import IMAGE_EXTENSIONS, BrokenTarError, split_name, walk_members
from diagonal_eval.dataset import content_digest
from diagonal_eval.sets.found import picture_digest
from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_infra.object_store import storage_errors

FORMAT = "2"
"""Of the index; another one makes all of them stale."""
VERSION_FACTS = ("size", "mtime", "ETag", "LastModified", "last_modified", "generation")
"""What file systems call the version of a file; none of them has all."""
MAX_MEMBER_BYTES = 1 << 20
"""A label, captions or attributes beyond that are damage."""


@dataclass(frozen=True, kw_only=True)
class TarSample:
    """One picture of a tar, and the small members beside it; None where there is none."""

    key: str
    offset: int = -1
    """Of the picture's bytes; -1 where there is no picture."""
    size: int = 0
    digest: str = ""
    cls: str | None = None
    txt: str | None = None
    npy: tuple[float, ...] | None = None
    json: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class IndexedTar:
    """A tar on the local disk and its samples in order."""

    path: str
    samples: tuple[TarSample, ...]


def index_tar(address: str, cache: str) -> IndexedTar:
    """The index of a tar, which is fetched into the cache if it is remote.

    Raises:
        UserError: there is no such tar, or it is damaged or cut.
        StorageError: its store fails.
    """
    version = _version(address)
    digest = content_digest(FORMAT, address, version)
    path = storage.local_path(address) or _fetched(address, Path(cache) / "tars" / f"{digest}.tar")
    index = Path(cache) / "index" / f"{digest}.json"
    if index.is_file():
        samples = tuple(_from_json(row) for row in json.loads(index.read_bytes()))
    else:
        samples = _scan(path, address)
        rows = [asdict(sample) for sample in samples]
        storage.write_bytes(str(index), json.dumps(rows).encode())
    return IndexedTar(path=path, samples=samples)


def read_pictures(
    tars: Sequence[IndexedTar], places: Sequence[tuple[int, TarSample]], rows: Sequence[int]
) -> Iterator[bytes]:
    """The pictures of rows of `places` (number of the tar, sample); empty if its tar is gone."""
    for number, group in groupby(rows, key=lambda row: places[row][0]):
        path = Path(tars[number].path)
        if not path.is_file():
            yield from (b"" for _ in group)
            continue
        with path.open("rb") as file:
            for row in group:
                sample = places[row][1]
                file.seek(sample.offset)
                yield file.read(sample.size)


def _version(address: str) -> str:
    filesystem, inner = url_to_fs(address)
    try:
        with storage_errors(f"look for {address}"):
            filesystem.invalidate_cache()
            facts = filesystem.info(inner)
    except Exception as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise UserError(
                f"no shard {address!r}, which nshards.txt beside it counts; get the whole set"
            ) from error
        raise
    return json.dumps([str(facts.get(name)) for name in VERSION_FACTS])


def _fetched(address: str, target: Path) -> str:
    filesystem, inner = url_to_fs(address)
    assert not isinstance(filesystem, LocalFileSystem)
    if not target.is_file():
        with storage_errors(f"read {address}"), storage.write_whole(str(target)) as file:
            # In one request: not every server gives ranges.
            filesystem.get_file(inner, file.name)
    return str(target)


def _scan(path: str, address: str) -> tuple[TarSample, ...]:
    if Path(path).stat().st_size == 0:
        raise UserError(f"{address!r} is empty; get it again")
    samples: list[TarSample] = []
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as tar:
        try:
            for name, _, start, size, _ in walk_members(tar, len(tar), has_end_mark=True):
                split = split_name(name)
                if split is None:
                    continue
                key, extension = split
                if not samples or samples[-1].key != key:
                    samples.append(TarSample(key=key))
                place = f"{name!r} in {address!r}"
                samples[-1] = _with_member(samples[-1], extension, tar, start, size, place)
        except BrokenTarError as error:
            raise UserError(f"{address!r} is cut or damaged: {error}; get it again") from error
    return tuple(samples)


def _with_member(
    sample: TarSample, extension: str, tar: mmap.mmap, start: int, size: int, place: str
) -> TarSample:
    if extension in IMAGE_EXTENSIONS:
        if sample.offset >= 0:
            raise UserError(f"{place}: a second picture of the key {sample.key!r}")
        digest = picture_digest(tar[start : start + size])
        return replace(sample, offset=start, size=size, digest=digest)
    if extension not in ("cls", "txt", "npy", "json"):
        return sample
    if size > MAX_MEMBER_BYTES:
        raise UserError(f"{place} has {size} bytes, too many for what it is")
    content = tar[start : start + size]
    try:
        if extension == "npy":
            array = np.load(io.BytesIO(content), allow_pickle=False)
            return replace(sample, npy=tuple(map(float, array.reshape(-1))))
        text = content.decode("utf-8-sig")
        if extension != "json":
            return replace(sample, cls=text) if extension == "cls" else replace(sample, txt=text)
        attributes = json.loads(text)
    except ValueError as error:
        raise UserError(f"{place} cannot be read: {error}") from error
    return replace(sample, json=attributes if isinstance(attributes, dict) else None)


def _from_json(row: dict[str, Any]) -> TarSample:
    facts = dict(row)
    if facts["npy"] is not None:
        facts["npy"] = tuple(facts["npy"])
    return TarSample(**facts)
