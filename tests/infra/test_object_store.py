"""Storage on S3, against moto's server in this process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec.config
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from diagonal_infra import lease, object_store, storage
from diagonal_infra.errors import StorageError, UserError

BUCKET = "s3://pictures"
PART = 5 * 2**20
LEASE_SECONDS = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, object]]:
    """fsspec's settings for a store of our own, with one bucket."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    settings = {
        "endpoint_url": f"http://{host}:{port}",
        "key": "key",
        "secret": "secret",
        "default_block_size": PART,
        "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 2}},
    }
    yield settings
    moto.stop()


@pytest.fixture
def s3(server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new folder on the store."""
    monkeypatch.setitem(fsspec.config.conf, "s3", fsspec.config.conf["s3"] | server)
    filesystem = fsspec.filesystem("s3")
    if not filesystem.exists(BUCKET):
        filesystem.mkdir(BUCKET)
    return f"{BUCKET}/{request.node.name}"


def uploads(folder: str) -> list:
    """Uploads that were begun and are neither completed nor aborted."""
    found = fsspec.filesystem("s3").call_s3("list_multipart_uploads", Bucket=BUCKET[5:])
    prefix = folder.removeprefix(f"{BUCKET}/")
    return [u for u in found.get("Uploads", []) if u["Key"].startswith(prefix)]


@pytest.mark.parametrize("size", [0, 10, 2 * PART + 10], ids=["empty", "one put", "parts"])
def test_an_object_appears_whole_when_its_writer_is_closed(s3: str, size: int) -> None:
    path, content = f"{s3}/file.bin", os.urandom(size)
    with storage.write_whole(path) as file:
        file.write(content)
        assert not storage.exists(path)
        assert storage.list_files(s3) == []
    assert storage.list_files(s3) == ["file.bin"]
    assert storage.read_bytes(path) == content
    assert uploads(s3) == []


@pytest.mark.parametrize("size", [10, 2 * PART + 10], ids=["one put", "parts"])
def test_a_failed_writer_leaves_the_old_object_and_no_parts(s3: str, size: int) -> None:
    path = f"{s3}/file.bin"
    storage.write_bytes(path, b"old")

    def fail_in_the_middle() -> None:
        with storage.write_whole(path) as file:
            file.write(bytes(size))
            assert len(uploads(s3)) == (size > PART)
            raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError, match="the writer broke"):
        fail_in_the_middle()
    assert storage.read_bytes(path) == b"old"
    assert uploads(s3) == []


def test_what_another_process_writes_and_deletes_is_seen_at_once(s3: str) -> None:
    storage.write_bytes(f"{s3}/a.tar", b"a")
    assert storage.list_files(s3) == ["a.tar"]
    other = fsspec.filesystem("s3", skip_instance_cache=True)
    other.pipe(f"{s3}/b.tar", b"b")
    assert storage.list_files(s3) == ["a.tar", "b.tar"]
    assert storage.exists(f"{s3}/b.tar")
    assert storage.expand(f"{s3}/*.tar") == [f"{s3}/a.tar", f"{s3}/b.tar"]
    other.rm_file(f"{s3}/a.tar")
    assert not storage.exists(f"{s3}/a.tar")
    assert storage.expand(s3) == [f"{s3}/b.tar"]
    storage.delete(f"{s3}/b.tar")
    storage.delete(f"{s3}/b.tar")
    assert storage.list_files(s3) == []
    with pytest.raises(UserError, match="no file matches"):
        storage.expand(s3)


def test_a_folders_placeholder_object_is_no_file(s3: str) -> None:
    fsspec.filesystem("s3").call_s3(
        "put_object", Bucket=BUCKET[5:], Key=f"{s3[len(BUCKET) + 1 :]}/"
    )
    assert storage.list_files(s3) == []
    storage.write_bytes(f"{s3}/a.tar", b"a")
    assert storage.list_files(s3) == ["a.tar"]
    assert storage.expand(s3) == [f"{s3}/a.tar"]


def test_parquet_goes_to_the_store_and_back(s3: str) -> None:
    table = pa.table({"uid": [f"{i:032x}" for i in range(1000)]})
    with storage.write_whole(f"{s3}/t.parquet") as file:
        pq.write_table(table, file)
    with storage.open_read(f"{s3}/t.parquet") as file:
        assert pq.ParquetFile(file).read().equals(table)


def test_errors_name_the_path(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=rf"cannot read {s3}/absent"):
        storage.open_read(f"{s3}/absent")
    with pytest.raises(StorageError, match="cannot write s3://no-such-bucket/file"):
        storage.write_bytes("s3://no-such-bucket/file", b"content")
    gone = fsspec.config.conf["s3"] | {"endpoint_url": "http://127.0.0.1:9"}
    monkeypatch.setitem(fsspec.config.conf, "s3", gone)
    with pytest.raises(StorageError, match=f"cannot write {s3}/file: Could not connect"):
        storage.write_bytes(f"{s3}/file", b"content")
    with pytest.raises(StorageError, match=f"cannot list {s3}: Could not connect"):
        storage.list_files(s3)
    with pytest.raises(UserError, match=r"Could not connect .* check the bucket, the endpoint"):
        storage.check_writable(s3)


def test_users_settings_go_before_ours() -> None:
    code = (
        "import fsspec; from diagonal_infra import storage; "
        "f = fsspec.filesystem('s3'); print(f.config_kwargs, f.dircache.use_listings_cache)"
    )
    variables = {"FSSPEC_S3_CONFIG_KWARGS": '{"read_timeout": 7}'}
    for given, expected in (
        ({}, object_store.SETTINGS["s3"]["config_kwargs"]),
        (variables, {"read_timeout": 7}),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | given, stdout=subprocess.PIPE, check=True
        )
        assert done.stdout.decode() == f"{expected} False\n"


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", LEASE_SECONDS)


def test_a_second_writer_is_refused_while_the_first_lives(s3: str, short_lease: None) -> None:
    with storage.sole_writer(s3):
        # Longer than a lease: the second one sees it renewed.
        for _ in range(3):
            second = storage.sole_writer(s3)
            with pytest.raises(UserError, match=rf"another run \(.*:{os.getpid()}:.*\) is writing"):
                second.__enter__()
    started = time.monotonic()
    with storage.sole_writer(s3):
        assert time.monotonic() - started < LEASE_SECONDS / 2, "it was not released"


def test_of_many_writers_at_once_one_wins(s3: str, short_lease: None) -> None:
    winners, refused, all_tried = [], [], threading.Barrier(4)

    def write(number: int) -> None:
        try:
            with storage.sole_writer(s3):
                winners.append(number)
                all_tried.wait(30)
        except UserError:
            refused.append(number)
            all_tried.wait(30)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), len(refused)) == (1, 3)


HOLDER = """
import sys
from diagonal_infra import lease, storage
lease.LEASE_SECONDS = float(sys.argv[2])
with storage.sole_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


DEAF = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


@pytest.fixture
def holder(s3: str, short_lease: None, server, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the folder, deaf to Ctrl-C as jobs in the background are."""
    (tmp_path / "s3.json").write_text(json.dumps({"s3": server}))
    process = subprocess.Popen(
        [*DEAF, sys.executable, "-c", HOLDER, s3, str(LEASE_SECONDS)],
        env=os.environ | {"FSSPEC_CONFIG_DIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()


def test_the_lease_of_a_killed_writer_is_taken_over(s3: str, holder: subprocess.Popen) -> None:
    holder.kill()
    with storage.sole_writer(s3):
        storage.write_bytes(storage.join(s3, "mine"), b"taken over")
    assert storage.read_bytes(storage.join(s3, "mine")) == b"taken over"


def test_a_writer_that_slept_past_its_lease_is_stopped(s3: str, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGSTOP)
    with storage.sole_writer(s3):
        holder.send_signal(signal.SIGCONT)
        # It is blocked in a read that nothing answers: only the interrupt ends it.
        holder.wait(30)
    assert holder.stderr is not None
    assert f"StorageError: another run took over {s3}" in holder.stderr.read()
