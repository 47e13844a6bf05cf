import dataclasses
import threading
import time
import tracemalloc
from collections.abc import Iterator

import fsspec
import pytest
from fsspec import AbstractFileSystem
from tests.train.streaming.ranged_server import RangedServer, Step

from diagonal_infra.errors import StorageError, UserError
from diagonal_train.streaming.index import ShardFile
from diagonal_train.streaming.range_answers import ShortFileError
from diagonal_train.streaming.ranged_get import MAX_REQUEST, RangedGets, ShardChangedError

BEGIN, END = 1_000, 290_000


def fetch(
    shard: ShardFile, begin: int = BEGIN, end: int = END, *, timeout: float = 5, deadline: float = 9
) -> bytes:
    """The range, each byte of which was handed over once and in order."""
    taken = bytearray()

    def take(position: int, chunk: bytes) -> None:
        assert position == begin + len(taken)
        taken.extend(chunk)

    RangedGets([shard], timeout_seconds=timeout, deadline_seconds=deadline).fetch(
        0, begin, end, take
    )
    return bytes(taken)


@pytest.mark.parametrize(
    "steps",
    [
        [("drop", 70_000)],
        [("drop", 0), ("drop", 0), ("cut", 0)],
        [("cut", 200_000), ("cut", 10)],
        [("short", 100_000), ("short", 1)],
        [("status", 500), ("status", 503), ("status", 429)],
        [("busy", 1)],
    ],
    ids=["reset", "reset at once", "truncated", "short", "errors", "busy"],
)
def test_the_bytes_are_the_files_whatever_the_store_does(
    store: RangedServer, shard: ShardFile, content: bytes, steps: list[Step]
) -> None:
    store.next.extend(steps)
    assert fetch(shard) == content[BEGIN:END]
    assert len(store.asked) == len(steps) + 1


def test_a_stalled_answer_is_given_up_and_goes_on_at_its_next_byte(
    store: RangedServer, shard: ShardFile, content: bytes
) -> None:
    store.next.extend([("stall", 50_000), ("stall", 0)])
    assert fetch(shard, timeout=0.5) == content[BEGIN:END]
    assert store.asked == [(BEGIN, END), (BEGIN + 50_000, END), (BEGIN + 50_000, END)]


def test_a_short_answer_is_no_failure(store: RangedServer, shard: ShardFile) -> None:
    store.next.extend([("short", 10)] * 5)
    fetch(shard)
    assert [begin for begin, _ in store.asked] == [BEGIN + 10 * i for i in range(6)]


def test_retry_after_is_obeyed(store: RangedServer, shard: ShardFile) -> None:
    store.next.append(("busy", 1))
    started = time.monotonic()
    fetch(shard)
    assert time.monotonic() - started >= 1


def test_a_large_range_is_asked_for_in_parts(store: RangedServer, shard: ShardFile) -> None:
    large = bytes(2 * MAX_REQUEST + 5)
    name = next(iter(store.files))
    store.files[name] = large
    assert fetch(dataclasses.replace(shard, size=len(large)), 0, len(large)) == large
    assert [end - begin for begin, end in store.asked] == [MAX_REQUEST, MAX_REQUEST, 5]


@pytest.mark.parametrize("step", [("busy", 0), ("stall", 0), ("drop", 0)], ids=lambda step: step[0])
def test_a_store_that_never_answers_is_named_at_the_deadline(
    store: RangedServer, shard: ShardFile, step: Step
) -> None:
    fetch(shard, 0, 1)  # loads the library
    store.always, store.asked = step, []
    started = time.monotonic()
    with pytest.raises(StorageError, match=rf"bytes 1000-289999 of {shard.path} within 1 s"):
        fetch(shard, timeout=0.4, deadline=1)
    assert time.monotonic() - started < 3
    # Were the libraries' own retries on, each of our tries would be up to 25 requests.
    assert 2 <= len(store.asked) <= 7


def test_a_store_that_is_gone_is_named_at_the_deadline() -> None:
    nobody = ShardFile(path="http://127.0.0.1:9/00000.tar", size=None, mark="")
    with pytest.raises(StorageError, match=r"of http://127.0.0.1:9/00000.tar .* Connect"):
        fetch(nobody, deadline=0.5)


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, FileNotFoundError), (403, PermissionError), (400, StorageError)],
)
def test_an_answer_for_good_is_not_asked_for_again(
    store: RangedServer, shard: ShardFile, status: int, error: type[Exception]
) -> None:
    store.always = ("status", status)
    with pytest.raises(error):
        fetch(shard)
    assert len(store.asked) == 1


def test_a_server_without_ranges_is_not_read_whole_again_and_again(
    store: RangedServer, shard: ShardFile
) -> None:
    store.always = ("whole",)
    with pytest.raises(UserError, match="the shards to a local disk or to a server that gives"):
        fetch(shard)
    assert len(store.asked) == 1


def test_a_shard_of_another_size_has_changed(store: RangedServer, shard: ShardFile) -> None:
    indexed = dataclasses.replace(shard, size=300_001, mark="300001")
    with pytest.raises(ShardChangedError, match=f"{shard.path} changed .* 300000 bytes, not 3"):
        fetch(indexed)


def test_a_range_behind_the_end_means_that_the_shard_changed(shard: ShardFile) -> None:
    indexed = dataclasses.replace(shard, size=500_000)
    with pytest.raises(ShardChangedError, match="it ends before byte 450000"):
        fetch(indexed, 400_000, 450_000)


def test_a_short_shard_that_the_index_knows_no_size_of_is_bad(shard: ShardFile) -> None:
    indexed = dataclasses.replace(shard, size=None, mark="")
    for begin in (299_000, 400_000):
        with pytest.raises(ShortFileError):
            fetch(indexed, begin, 450_000)


def test_a_shard_with_another_etag_has_changed(store: RangedServer, shard: ShardFile) -> None:
    assert fetch(dataclasses.replace(shard, mark='W/"one"'))
    store.etag = "two"
    with pytest.raises(ShardChangedError, match="ETag two, not one"):
        fetch(shard)


def test_an_etag_that_changes_midway_is_seen_without_a_mark(
    store: RangedServer, shard: ShardFile
) -> None:
    unmarked = dataclasses.replace(shard, mark="")

    def take(_: int, __: bytes) -> None:
        store.etag = "two"

    store.next.append(("short", 1))
    gets = RangedGets([unmarked], timeout_seconds=5, deadline_seconds=9)
    with pytest.raises(ShardChangedError, match="ETag two, not one"):
        gets.fetch(0, BEGIN, END, take)


def test_an_answer_is_never_whole_in_memory(store: RangedServer, shard: ShardFile) -> None:
    store.files[next(iter(store.files))] = bytes(MAX_REQUEST)
    indexed = dataclasses.replace(shard, size=MAX_REQUEST)
    gets = RangedGets([indexed], timeout_seconds=5, deadline_seconds=9)
    sizes: list[int] = []
    gets.fetch(0, 0, 10, lambda _, chunk: None)
    tracemalloc.start()
    # The server is of this process too, and holds a copy of what it sends.
    gets.fetch(0, 0, MAX_REQUEST, lambda _, chunk: sizes.append(len(chunk)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == MAX_REQUEST
    assert peak < MAX_REQUEST + 2**20


class SlowDisk(AbstractFileSystem):
    """A blocking file system whose first read never ends."""

    protocol = "slowdisk"
    cachable = False
    hangs = threading.Event()
    asked = 0

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: object
    ) -> bytes:
        type(self).asked += 1
        if self.asked == 1:
            self.hangs.wait(60)
        return bytes(range(256))[start:end]


@pytest.fixture
def slow_disk() -> Iterator[str]:
    fsspec.register_implementation("slowdisk", SlowDisk, clobber=True)
    SlowDisk.asked = 0
    yield "slowdisk://0.tar"
    SlowDisk.hangs.set()


def test_a_blocking_file_system_that_hangs_is_asked_again(slow_disk: str) -> None:
    shard = ShardFile(path=slow_disk, size=256, mark="256")
    assert fetch(shard, 3, 200, timeout=0.3) == bytes(range(3, 200))
    assert SlowDisk.asked == 2


def test_any_file_system_of_fsspec_will_do() -> None:
    fsspec.filesystem("memory").pipe("/pictures/0.tar", bytes(range(200)))
    shard = ShardFile(path="memory://pictures/0.tar", size=200, mark="200")
    assert fetch(shard, 3, 200) == bytes(range(3, 200))
    with pytest.raises(ShardChangedError):
        fetch(dataclasses.replace(shard, size=300), 220, 240)
    with pytest.raises(FileNotFoundError):
        fetch(dataclasses.replace(shard, path="memory://pictures/none.tar"))
