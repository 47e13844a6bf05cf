"""Hashes of evaluation pictures in one file, which can be handed on without the pictures.

    Parquet, metadata diagonal_eval_index = 1, model = …
    set        string          the evaluation set
    shape      string          whole, padded or centre: how a pipeline may have framed the picture
    phash      uint64          of the picture in that shape
    mirrored   uint64          of its mirror image
    embedding  list<float16>   of length 1, in the rows of shape `whole`; null where there is none

No name and no pixel is in it. Pictures are hashed as the data pipeline would have stored them.
"""

import io
import itertools
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.config import DecodeConfig, ResizeMode
from diagonal_data.decode import Refusal, decode_image
from diagonal_data.dedup.embeddings import Embeddings
from diagonal_data.parquet import read_parquet
from diagonal_data.phash import phash
from diagonal_data.tar import BrokenTarError, walk_members
from diagonal_infra import storage
from diagonal_infra.errors import UserError

VERSION = b"1"
VERSION_KEY, MODEL_KEY = b"diagonal_eval_index", b"model"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
SHAPES: dict[str, ResizeMode] = {
    "whole": "keep_ratio_largest",
    "padded": "border",
    "centre": "center_crop",
}
SIDE = 256
SCHEMA = pa.schema(
    [
        ("set", pa.string()),
        ("shape", pa.string()),
        ("phash", pa.uint64()),
        ("mirrored", pa.uint64()),
        ("embedding", pa.list_(pa.float16())),
    ]
)
PICTURES_AT_ONCE = 256
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvalIndex:
    """One index file; `model` is what its embeddings were computed with, if it has any."""

    table: pa.Table
    model: str | None


def read_pictures(pattern: str) -> Iterator[tuple[str, bytes]]:
    """Key (name without folder and suffix) and content of every picture in folders and tars.

    Raises:
        UserError: nothing matches, or a tar is broken.
    """
    for path in storage.expand(pattern):
        if path.lower().endswith(".tar"):
            yield from _pictures_of_tar(path)
        elif path.lower().endswith(SUFFIXES):
            yield PurePosixPath(path).stem, storage.read_bytes(path)


def _pictures_of_tar(path: str) -> Iterator[tuple[str, bytes]]:
    content = storage.read_bytes(path)
    try:
        for name, _, start, size, _ in walk_members(content, len(content), has_end_mark=True):
            if name.lower().endswith(SUFFIXES):
                yield PurePosixPath(name).stem, content[start : start + size]
    except BrokenTarError as error:
        raise UserError(f"tar {path!r} is broken: {error}; fetch it again") from error


def build_index(
    pictures: Iterator[tuple[str, bytes]], set_name: str, embeddings: Embeddings | None
) -> tuple[pa.Table, int]:
    """The table of an index, and how many pictures could not be decoded."""
    rows: list[dict] = []
    refused = 0
    row_of = {} if embeddings is None else {k: i for i, k in enumerate(embeddings.uids.to_pylist())}
    with ThreadPoolExecutor() as threads:
        for batch in _batches(pictures):
            found = threads.map(_hashes, (content for _, content in batch))
            for (key, _), hashes in zip(batch, found, strict=True):
                refused += not hashes
                for row in hashes:
                    if embeddings is not None and row["shape"] == "whole" and key in row_of:
                        row["embedding"] = embeddings.image_ND[row_of[key]]
                    rows.append(row | {"set": set_name})
    return pa.Table.from_pylist(rows, schema=SCHEMA), refused


def _batches(pictures: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    while batch := list(itertools.islice(pictures, PICTURES_AT_ONCE)):
        yield batch


def _hashes(body: bytes) -> list[dict]:
    """One row per shape whose hashes are not those of a former shape."""
    rows: list[dict] = []
    for shape, mode in SHAPES.items():
        config = DecodeConfig(
            resize_mode=mode,
            only_if_bigger=False,
            min_side=1,
            max_aspect=0,
            animation="first_frame",
        )
        stored = decode_image(body, SIDE, config)
        if isinstance(stored, Refusal):
            return []
        grey = cv2.imdecode(np.frombuffer(stored.content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert grey is not None  # it was just encoded
        row = {"phash": stored.phash, "mirrored": phash(np.ascontiguousarray(grey[:, ::-1]))}
        if not any(row.items() <= known.items() for known in rows):
            rows.append(row | {"shape": shape})
    return rows


def write_index(path: str, table: pa.Table, model: str | None) -> None:
    """Write the file, whole or not at all."""
    metadata = {VERSION_KEY: VERSION} | ({} if model is None else {MODEL_KEY: model.encode()})
    with storage.write_whole(path) as file:
        pq.write_table(table.replace_schema_metadata(metadata), file)


def read_index(path: str) -> EvalIndex:
    """An index file.

    Raises:
        UserError: there is none, or the file is something else or of another version.
    """
    if not storage.exists(path):
        raise UserError(
            f"no index at {path!r}; make it with 'python -m diagonal_data.decontaminate index'"
        )
    try:
        schema = pq.read_schema(io.BytesIO(storage.read_bytes(path)))
    except pa.ArrowInvalid as error:
        raise UserError(f"{path!r} is no index of evaluation hashes: {error}") from error
    metadata = schema.metadata or {}
    version = metadata.get(VERSION_KEY)
    if version is None:
        raise UserError(f"{path!r} is no index of evaluation hashes; --index names such files")
    if version != VERSION or schema.remove_metadata() != SCHEMA:
        raise UserError(
            f"index {path!r} has version {version.decode()} and the columns "
            f"{', '.join(schema.names)}; this program reads version {VERSION.decode()}"
        )
    model = metadata.get(MODEL_KEY)
    return EvalIndex(table=read_parquet(path), model=None if model is None else model.decode())
