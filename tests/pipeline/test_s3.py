"""A dataset on a real S3 server (SeaweedFS), which is killed in between."""

import os
import random
import signal
import socket
import subprocess
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec.config
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import BotoCoreError

from diagonal_data.config import ShardsConfig
from diagonal_data.filters.config import FiltersConfig
from diagonal_data.filters.select import select
from diagonal_data.filters.write import write_outcome
from diagonal_data.manifest import read_manifest
from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.rows import read_rows
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_data.shards import build_dataset
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import CompactConfig, TakedownConfig
from diagonal_data.takedown.requests import take_down
from diagonal_infra import lease, storage
from diagonal_infra.errors import StorageError, UnitError, UserError

BUCKET = "s3://pictures"
PART = 5 * 2**20
COUNT = 12
SECRET = "sixteen-letters-at-least"
GRPC_OFFSET = 10_000
"""SeaweedFS listens a second time at every port plus this."""


class Weed:
    """A SeaweedFS server, by default on 127.0.0.1, with its data in a folder that outlives it."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.address = folder, address
        self.ports = free_ports(4)
        credentials = f'{{"accessKey": "key", "secretKey": "{SECRET}"}}'
        identity = f'{{"name": "test", "credentials": [{credentials}], "actions": ["Admin"]}}'
        (folder / "s3.json").write_text(f'{{"identities": [{identity}]}}')
        (folder / "data").mkdir()

    @property
    def settings(self) -> dict[str, object]:
        """fsspec's, for this server."""
        return {
            "endpoint_url": f"http://{self.address}:{self.ports[0]}",
            "key": "key",
            "secret": SECRET,
            "default_block_size": PART,
            "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 2}},
        }

    @property
    def command(self) -> list[str]:
        """What starts it."""
        s3, filer, master, volume = self.ports
        return [
            str(Path(sysconfig.get_path("scripts")) / "weed"), "server",
            f"-ip={self.address}", f"-ip.bind={self.address}", f"-dir={self.folder}/data",
            f"-master.port={master}", "-master.telemetry=false",
            "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64",
            f"-volume.port={volume}", "-volume.max=20", f"-filer.port={filer}",
            "-s3", f"-s3.port={s3}", f"-s3.config={self.folder}/s3.json",
            "-s3.iam=false", "-s3.port.iceberg=0",
        ]  # fmt: skip

    def start(self) -> None:
        """Start, and wait until it takes and gives an object."""
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        filesystem = fsspec.filesystem("s3", **self.settings)
        deadline = time.monotonic() + 60
        while True:
            try:
                filesystem.makedirs(BUCKET, exist_ok=True)
                filesystem.pipe(f"{BUCKET}/ready", b"yes")
                return
            except (OSError, BotoCoreError):
                log = (self.folder / "log").read_text()[-2000:]
                assert self._process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.2)  # the poll interval

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


def free_ports(count: int) -> list[int]:
    """Ports below those the kernel hands out, free together with their gRPC ports."""
    found: list[int] = []
    for port in random.sample(range(20_001, 22_500), 100):
        try:
            for number in (port, port + GRPC_OFFSET):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def weed() -> Iterator[Weed]:
    with tempfile.TemporaryDirectory() as folder:
        server = Weed(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def s3(weed: Weed, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new folder on the store."""
    monkeypatch.setitem(fsspec.config.conf, "s3", fsspec.config.conf["s3"] | weed.settings)
    return f"{BUCKET}/{request.node.name}"


@pytest.fixture
def config(tmp_path: Path, small_web, make_jpeg) -> ShardsConfig:
    """A build of three shards into a local folder."""
    urls = [small_web.add(f"/{i}.jpg", make_jpeg(i)) for i in range(COUNT)]
    (tmp_path / "c").mkdir()
    table = candidates_table([candidate_for(url, f"picture {url[-6:]}") for url in urls])
    pq.write_table(table, tmp_path / "c" / "part-00000.parquet")
    return ShardsConfig(
        candidates=str(tmp_path / "c"),
        dataset=str(tmp_path / "d"),
        allow_hosts=(small_web.host,),
        image_size=32,
        samples_per_shard=4,
        local=True,
    )


def tars(dataset: str) -> dict[str, bytes]:
    shards = f"{dataset}/shards"
    return {
        name: storage.read_bytes(f"{shards}/{name}") for name in storage.list_files(shards, ".tar")
    }


def test_a_dataset_on_s3_is_the_local_one_and_is_built_once(
    s3: str, config: ShardsConfig, small_web
) -> None:
    build_dataset(config)
    on_s3 = replace(config, dataset=s3)
    first = build_dataset(on_s3)
    assert first.kept == COUNT
    assert tars(s3) == tars(config.dataset)
    assert len(tars(s3)) == 3
    small_web.asked = []
    assert build_dataset(on_s3) == first
    assert small_web.asked == []
    assert storage.list_files(f"{s3}/units") == []


def test_parts_beside_each_other_on_s3_are_the_local_dataset(s3: str, config: ShardsConfig) -> None:
    build_dataset(config)
    parts = [replace(config, dataset=s3, part=f"{number}/2") for number in (1, 2)]
    threads = [threading.Thread(target=build_dataset, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tars(s3) == tars(config.dataset)
    assert read_manifest(s3)["shards"] == read_manifest(config.dataset)["shards"]
    assert storage.list_files(f"{s3}/units") == []


def test_filter_takedown_reshard_and_compact_give_the_local_bytes(
    s3: str, config: ShardsConfig, tmp_path: Path
) -> None:
    build_dataset(config)
    build_dataset(replace(config, dataset=s3))
    here = use_and_clean(config.dataset, str(tmp_path / "copy"))
    there = use_and_clean(s3, f"{s3}-copy")
    assert there == here
    kept, copied, compacted = here
    assert (kept, len(copied), len(compacted)) == (COUNT - 2, 3, 3)
    assert sum(shard["samples"] for shard in read_manifest(s3)["shards"]) == COUNT - 1


def use_and_clean(dataset: str, copy: str) -> tuple[int, dict[str, bytes], dict[str, bytes]]:
    """Number kept, the tars of the kept samples, and those without what was taken down."""
    name = FiltersConfig(dataset=dataset, name="most", where=("not contains(url, '/3.jpg')",))
    funnel = write_outcome(name, select(name).pool, {})
    urls = read_rows(dataset, ["url"])["url"].to_pylist()
    take_down(TakedownConfig(dataset=dataset, url=tuple(u for u in urls if u.endswith("/5.jpg"))))
    settings = {"filter": "most", "samples_per_shard": 4, "seed": 7, "local": True}
    manifest = reshard(ReshardConfig(dataset=dataset, output=copy, **settings))
    assert compact(CompactConfig(dataset=dataset)) == 1
    samples = sum(info.samples for info in manifest.shards.values())
    assert samples == funnel.kept - 1
    return samples, tars(copy), tars(dataset)


def test_a_wrong_secret_is_named_before_anything_is_fetched(
    s3: str, config: ShardsConfig, small_web, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = fsspec.config.conf["s3"] | {"secret": "another-secret-altogether"}
    monkeypatch.setitem(fsspec.config.conf, "s3", wrong)
    with pytest.raises(UserError, match=rf"cannot write to '{s3}': .*signature.*the keys"):
        build_dataset(replace(config, dataset=s3))
    assert small_web.asked == []


def test_a_killed_server_leaves_no_short_object_and_a_rerun_finishes(
    s3: str, config: ShardsConfig, small_web, weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 6.0)
    build_dataset(config)
    on_s3 = replace(config, dataset=s3)
    path, content = f"{s3}/large.bin", os.urandom(3 * PART)
    small_web.asked, small_web.held = [], {"/9.jpg": threading.Event()}
    killer = threading.Thread(target=kill_when_asked, args=(weed, small_web, "/9.jpg"))
    upload = storage.write_whole(path)
    file = upload.__enter__()
    file.write(content[: 2 * PART])
    assert fsspec.filesystem("s3").call_s3("list_multipart_uploads", Bucket=BUCKET[5:])["Uploads"]
    killer.start()
    with pytest.raises((StorageError, UnitError)):
        build_dataset(on_s3)
    killer.join()
    started = time.monotonic()
    with pytest.raises(StorageError, match=f"cannot write {path}: Could not connect") as caught:
        file.write(content[2 * PART :])
    upload.__exit__(StorageError, caught.value, None)
    assert time.monotonic() - started < 30
    weed.start()
    assert not storage.exists(path)
    assert set(tars(s3)) == {"00000000.tar", "00000001.tar"}
    storage.write_bytes(path, content)
    assert storage.read_bytes(path) == content
    assert build_dataset(on_s3).kept == COUNT
    assert tars(s3) == tars(config.dataset)
    assert len(read_manifest(s3)["shards"]) == 3


def kill_when_asked(weed: Weed, web, path: str) -> None:
    """Kill the server when the build asks for this picture, then let the build go on."""
    deadline = time.monotonic() + 60
    while path not in web.asked and time.monotonic() < deadline:
        time.sleep(0.01)  # the poll interval
    weed.kill()
    web.held.pop(path).set()
