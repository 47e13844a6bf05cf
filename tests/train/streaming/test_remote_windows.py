import copy
import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec.config
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from tests.train.streaming.ranged_server import RangedServer, Step
from tests.train.streaming.samples import (
    OFFSETS,
    SAMPLE,
    WINDOW,
    lengths_of,
    open_files,
    read_all,
    samples_of,
)

from diagonal_infra import object_store, storage
from diagonal_infra.errors import StorageError
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.ranged_get import ShardChangedError
from diagonal_train.streaming.reader import BadSampleError
from diagonal_train.streaming.window import Window


@pytest.mark.parametrize(
    "step",
    [("well",), ("drop", 70_000), ("cut", 10), ("short", 10), ("stall", 50_000), ("busy", 0)],
    ids=lambda step: step[0],
)
def test_remote_samples_are_the_files_bytes(
    store: RangedServer, shard: ShardFile, content: bytes, make_reader, step: Step
) -> None:
    store.next.append(step)
    reader = make_reader([shard], timeout_seconds=2)
    assert read_all(reader, WINDOW, OFFSETS) == samples_of(content, OFFSETS)
    # Not one request a sample.
    assert len(store.asked) <= 2


def test_a_sparse_window_is_asked_for_in_runs(
    store: RangedServer, shard: ShardFile, make_reader, tmp_path: Path
) -> None:
    content = np.random.default_rng(1).bytes(2_000_000)
    store.files[next(iter(store.files))] = content
    offsets = np.array([0, 20_000, 700_000, 710_000, 1_500_000])
    window = Window(shard=0, begin=0, end=1_510_000)
    reader = make_reader(
        [dataclasses.replace(shard, size=len(content))], window_cache=str(tmp_path / "cache")
    )
    assert read_all(reader, window, offsets) == samples_of(content, offsets)
    assert store.asked == [(0, 30_000), (700_000, 720_000), (1_500_000, 1_510_000)]
    (file,) = (tmp_path / "cache").glob("*.window")
    assert file.stat().st_blocks * 512 < 100_000
    # What was not expected is not in the file: its hole would read as zeros.
    assert reader.read(window, 300_000, SAMPLE) == content[300_000:310_000]


def test_samples_are_read_without_being_expected(
    shard: ShardFile, content: bytes, make_reader
) -> None:
    reader = make_reader([shard])
    assert reader.read(WINDOW, 7, 100) == reader.read_alone(0, 7, 100) == content[7:107]


def test_a_released_window_leaves_nothing_on_the_disk(shard: ShardFile, make_reader) -> None:
    reader = make_reader([shard])
    reader.read_alone(0, 0, 1)
    before = open_files()
    for _ in range(3):
        read_all(reader, WINDOW, OFFSETS)
        assert open_files() == before + 1
        reader.release(WINDOW)
        assert open_files() == before


@pytest.mark.parametrize("status", [404, 403])
def test_a_shard_that_is_gone_gives_bad_samples_and_is_not_asked_for_again(
    store: RangedServer, shard: ShardFile, make_reader, status: int
) -> None:
    store.always = ("status", status)
    reader = make_reader([shard])
    reader.expect(WINDOW, OFFSETS, lengths_of(OFFSETS))
    for _ in range(3):
        with pytest.raises(BadSampleError, match="read_failed"):
            reader.read(WINDOW, 0, SAMPLE)
        with pytest.raises(BadSampleError, match="read_failed"):
            reader.read_alone(0, 0, SAMPLE)
    assert len(store.asked) == 1


@pytest.mark.parametrize("step", [("stall", 100), ("busy", 0)], ids=lambda step: step[0])
def test_a_store_that_never_answers_is_named_at_the_deadline(
    store: RangedServer, shard: ShardFile, make_reader, step: Step
) -> None:
    reader = make_reader([shard], timeout_seconds=0.3, deadline_seconds=1)
    reader.read_alone(0, 0, 1)
    store.always = step
    started = time.monotonic()
    with pytest.raises(StorageError, match=rf"bytes \d+-299999 of {shard.path} within 1 s"):
        read_all(reader, WINDOW, OFFSETS)
    assert time.monotonic() - started < 4


def test_a_changed_remote_shard_is_named_where_it_is_read(
    store: RangedServer, shard: ShardFile, make_reader
) -> None:
    store.etag = "two"
    reader = make_reader([shard])
    reader.expect(WINDOW, OFFSETS, lengths_of(OFFSETS))
    with pytest.raises(ShardChangedError, match=shard.path):
        reader.read(WINDOW, 0, SAMPLE)


def test_many_windows_are_fetched_at_once(store: RangedServer, shard: ShardFile, make_reader):
    reader = make_reader([shard] * 20)
    windows = [dataclasses.replace(WINDOW, shard=number) for number in range(20)]
    for window in windows:
        reader.expect(window, OFFSETS, lengths_of(OFFSETS))
    content = store.files[next(iter(store.files))]
    # The last one first: it is fetched by whoever comes first, thread or reader.
    for window in windows[::-1]:
        assert reader.read(window, 5 * SAMPLE, SAMPLE) == content[5 * SAMPLE : 6 * SAMPLE]
    assert len(store.asked) == 20


FULL_DISK = """
import resource, sys
import numpy as np
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.reader import ShardReader
from diagonal_train.streaming.window import Window
url, cache = sys.argv[1], sys.argv[2] or None
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
reader = ShardReader([ShardFile(path=url, size=300_000, mark="")], LoaderConfig(window_cache=cache))
for begin in (0, 150_000):
    window = Window(shard=0, begin=begin, end=begin + 150_000)
    reader.expect(window, np.array([begin]), np.array([150_000]))
    sys.stdout.buffer.write(reader.read(window, begin, 150_000))
"""


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_without_room_on_the_disk_samples_come_from_the_store(
    store: RangedServer, content: bytes, tmp_path: Path, kind: str
) -> None:
    cache = str(tmp_path / "cache") if kind == "shared" else ""
    url = store.endpoint + next(iter(store.files))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, url, cache], capture_output=True, check=True
    )
    assert done.stdout == content
    assert done.stderr.decode().count("windows are read without the disk") == 1
    assert list(tmp_path.glob("cache/*.[wp]*")) == []


FORKED = """
import os, sys
import numpy as np
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.reader import ShardReader
from diagonal_train.streaming.window import Window
reader = ShardReader([ShardFile(path=sys.argv[1], size=300_000, mark="")], LoaderConfig())
window = Window(shard=0, begin=0, end=300_000)
for _ in range(2):
    child = os.fork()
    if not child:
        reader.expect(window, np.array([0, 150_000]), np.array([150_000, 150_000]))
        for offset in (0, 150_000):
            os.write(1, reader.read(window, offset, 150_000))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_worker_processes_read_with_a_reader_made_before_their_fork(
    store: RangedServer, content: bytes
) -> None:
    url = store.endpoint + next(iter(store.files))
    done = subprocess.run(
        [sys.executable, "-c", FORKED, url], stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert done.stdout == 2 * content


GROWTH = """
import resource, sys
import numpy as np
from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.reader import ShardReader
from diagonal_train.streaming.window import Window
SIZE, SAMPLE = 4_000_000, 40_000
reader = ShardReader([ShardFile(path=sys.argv[1], size=16_000_000, mark="")], LoaderConfig())
offsets = np.arange(0, SIZE, SAMPLE)
def read_windows(count):
    windows = [Window(shard=0, begin=i % 4 * SIZE, end=i % 4 * SIZE + SIZE) for i in range(count)]
    for number, window in enumerate(windows):
        reader.expect(window, window.begin + offsets, np.full(len(offsets), SAMPLE))
        if number:
            for offset in (windows[number - 1].begin + offsets).tolist():
                assert len(reader.read(windows[number - 1], offset, SAMPLE)) == SAMPLE
            reader.release(windows[number - 1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first = read_windows(5)
print((read_windows(40) - first) / 1024)
"""


def test_memory_does_not_grow_with_what_was_read(store: RangedServer) -> None:
    name = next(iter(store.files))
    store.files[name] = bytes(16_000_000)
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, store.endpoint + name], stdout=subprocess.PIPE, check=True
    )
    assert float(done.stdout) < 8, "MB, of 140 that were read"


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server that checks what it is asked, with a bucket that no other test has."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"endpoint_url": f"http://{host}:{port}", "key": "key", "secret": "secret"}
    monkeypatch.setitem(
        fsspec.config.conf, "s3", copy.deepcopy(object_store.SETTINGS["s3"]) | settings
    )
    fsspec.filesystem("s3").mkdir("s3://windows")
    yield
    server.stop()


@pytest.mark.usefixtures("moto")
def test_samples_come_from_a_real_object_store(local: ShardFile, make_reader) -> None:
    filesystem = fsspec.filesystem("s3")
    content, path = Path(local.path).read_bytes(), "s3://windows/0.tar"
    storage.write_bytes(path, content)
    mark = filesystem.info(path)["ETag"]
    reader = make_reader([ShardFile(path=path, size=len(content), mark=mark)])
    assert read_all(reader, WINDOW, OFFSETS) == samples_of(content, OFFSETS)
    storage.write_bytes(path, content[::-1])
    with pytest.raises(ShardChangedError, match=path):
        reader.read_alone(0, 0, SAMPLE)
    filesystem.rm_file(path)
    with pytest.raises(BadSampleError, match="read_failed"):
        reader.read_alone(0, 0, SAMPLE)
