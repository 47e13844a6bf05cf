"""A teacher's embeddings of a sample, stored beside it in the tar.

    KEY.NAME.npy    NumPy's format 1.0, float16 (float32 is read too), C + 1 rows of E numbers:
                    the image, then each of its C captions in the order of --stream.captions

Nothing is unpickled. Every row is finite and not 0; a sample without such a member is a bad one.
"""

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from diagonal_infra.errors import UserError
from diagonal_train.streaming.config import StreamConfig
from diagonal_train.streaming.index import SEPARATOR, SampleIndex
from diagonal_train.streaming.ranged_get import ShardChangedError
from diagonal_train.streaming.reader import BadSampleError, ShardReader, image_and_members
from diagonal_train.streaming.samples import captions_of

DTYPES = (np.dtype("<f2"), np.dtype("<f4"))
LOOKED_AT = 16
"""Samples of each source whose width tells that of the data."""


def member_name(teacher: str) -> str:
    """The extension of a teacher's member."""
    return f"{teacher}.npy"


def packed(rows_CE: np.ndarray) -> bytes:
    """A member's content."""
    file = io.BytesIO()
    np.save(file, rows_CE.astype("<f2"), allow_pickle=False)
    return file.getvalue()


def teacher_rows(members: dict[str, bytes], teacher: str, captions: int) -> np.ndarray:
    """The float16 rows of a sample with so many captions.

    Raises:
        BadSampleError: there are none, or they cannot be used.
    """
    content = members.get(member_name(teacher))
    if content is None:
        raise BadSampleError("teacher_missing")
    rows = _parsed(content)
    if rows is None or len(rows) != captions + 1:
        raise BadSampleError("teacher_broken")
    with np.errstate(over="ignore", invalid="ignore"):
        halves = rows.astype(np.float16)
    if not np.isfinite(halves).all() or not halves.any(axis=1).all():
        raise BadSampleError("teacher_broken")
    return halves


def teacher_width(index: SampleIndex, config: StreamConfig) -> int | None:
    """Numbers of an embedding of the teacher that the stream is to deliver, if it is to.

    Raises:
        UserError: a source has no usable embedding, or one of another width than another source.
    """
    if config.teacher is None:
        return None
    widths: dict[str, int] = {}
    with closing(ShardReader(index.shards, config)) as reader:
        begin = 0
        for source, end in zip(config.data.split(SEPARATOR), index.source_ends, strict=True):
            count = min(LOOKED_AT, int(end) - begin)
            numbers = begin + np.arange(count) * (int(end) - begin) // count
            found = Counter(_widths(reader, index, config, numbers.tolist()))
            if not found:
                raise UserError(
                    f"none of {count} samples of {source!r} has usable embeddings in a member "
                    f"{member_name(config.teacher)}; write them with "
                    f"'python -m diagonal_train.reinforce', or set --distill.teacher to their name "
                    "and --stream.captions to the captions they are of"
                )
            widths[source] = found.most_common(1)[0][0]
            begin = int(end)
    if len(set(widths.values())) > 1:
        raise UserError(f"embeddings of teacher {config.teacher!r} differ in width: {widths}")
    return next(iter(widths.values()))


def _widths(
    reader: ShardReader, index: SampleIndex, config: StreamConfig, numbers: list[int]
) -> Iterator[int]:
    """Of those of the samples that have one."""
    assert config.teacher is not None
    for number in numbers:
        place = index.shard, index.offset, index.length
        try:
            content = reader.read_alone(*(int(column[number]) for column in place))
            _, members = image_and_members(content)
            captions = captions_of(members, config.captions)
            yield teacher_rows(members, config.teacher, len(captions)).shape[1]
        except (BadSampleError, ShardChangedError):
            continue


def _parsed(content: bytes) -> np.ndarray | None:
    """The matrix in a member; read by hand, since NumPy makes room for whatever a header claims."""
    file = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            return None
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (ValueError, EOFError):
        return None
    if dtype not in DTYPES or is_fortran or len(shape) != 2 or 0 in shape:
        return None
    if len(content) - file.tell() != shape[0] * shape[1] * dtype.itemsize:
        return None
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)
