import dataclasses
import errno
import os
from pathlib import Path

import pytest
from tests.train.streaming.samples import (
    OFFSETS,
    SAMPLE,
    WINDOW,
    lengths_of,
    open_files,
    read_all,
    samples_of,
)

from diagonal_infra.errors import StorageError
from diagonal_train.streaming import reader as reader_module
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.ranged_get import ShardChangedError
from diagonal_train.streaming.reader import BadSampleError


def test_local_samples_are_the_files_bytes(local: ShardFile, make_reader) -> None:
    reader = make_reader([local])
    content = Path(local.path).read_bytes()
    assert read_all(reader, WINDOW, OFFSETS) == samples_of(content, OFFSETS)
    assert reader.read_alone(0, 7, 100) == content[7:107]


def test_at_most_64_local_shards_are_open(local: ShardFile, make_reader) -> None:
    reader = make_reader([local] * 100)
    before = open_files()
    for number in range(100):
        window = dataclasses.replace(WINDOW, shard=number)
        read_all(reader, window, OFFSETS[:2])
    assert open_files() - before == reader_module.MAX_OPEN_FILES == 64
    reader.close()
    assert open_files() == before


@pytest.mark.parametrize("harm", ["missing", "folder", "short"])
def test_a_local_shard_that_cannot_be_read_gives_bad_samples(
    local: ShardFile, make_reader, harm: str
) -> None:
    path = Path(local.path)
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm == "short":
        path.write_bytes(bytes(29 * SAMPLE + 1))
    reader = make_reader([dataclasses.replace(local, size=None, mark="")])
    reader.expect(WINDOW, OFFSETS, lengths_of(OFFSETS))
    for read in (
        lambda: reader.read(WINDOW, 29 * SAMPLE, SAMPLE),
        lambda: reader.read_alone(0, 29 * SAMPLE, SAMPLE),
    ):
        with pytest.raises(BadSampleError, match="read_failed"):
            read()


@pytest.mark.parametrize("size", [30 * SAMPLE, 10], ids=["mtime", "size"])
def test_a_local_shard_written_again_has_changed(local: ShardFile, make_reader, size: int) -> None:
    Path(local.path).write_bytes(bytes(size))
    os.utime(local.path, ns=(0, 10**18))
    with pytest.raises(ShardChangedError, match=r"0.tar changed since it was indexed"):
        read_all(make_reader([local]), WINDOW, OFFSETS)


def test_too_many_open_files_are_no_bad_sample(
    local: ShardFile, make_reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    reader = make_reader([local])
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"cannot open .*0.tar: .*Too many open files"):
        reader.read(WINDOW, 0, SAMPLE)
