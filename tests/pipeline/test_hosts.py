"""Shards built on several hosts, one of which is lost in mid-run; on disk and on S3."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.hostile_server import Behaviour, HostileServer, answer
from tests.network import Build, Host
from tests.pipeline.test_kills import rows, tars
from tests.pipeline.test_s3 import BUCKET, SECRET, Weed
from tests.ray_hosts import start_ray

from diagonal_data.schema import candidate_for, candidates_table

SAMPLES = 96
LAST_ANSWERED = 12
"""Pictures that the host gets before it is lost: a worker has two units of eight at a time."""
WAIT_SECONDS = 200.0
OPEN = ["--fetch.max-per-host", "64", "--fetch.max-per-second", "0"]
FEW_STEPS = ["--samples-seen", "64", "--logging.no-tensorboard"]
Environment = dict[str, str]


class Web:
    """Pictures on one host; it notes who asks, and another host can be lost in mid-work."""

    def __init__(self, host: Host, make_jpeg: Callable[..., bytes]) -> None:
        self.server = HostileServer(host.listen())
        self.asked_by: list[str] = []
        self._lost: Host | None = None
        self._has_asked = asyncio.Event()
        for number in range(SAMPLES):
            body = answer(make_jpeg(number, (60, 48)))
            self.server.routes[f"/{number}.jpg"] = self._picture(body)
        self.server.routes["/7.jpg"] = answer(b"no picture")
        del self.server.routes["/9.jpg"]

    def write_candidates(self, folder: Path) -> str:
        urls = [self.server.url(f"/{number}.jpg") for number in range(SAMPLES)]
        found = [candidate_for(url, f"picture {url[-6:]}") for url in urls]
        pq.write_table(candidates_table(found), folder / "c.parquet")
        return str(folder / "c.parquet")

    def lose_at_work(self, host: Host, how: Callable[[Host], None]) -> None:
        """Lose it while it waits for a picture; until it asks for one, the others wait."""
        self.asked_by, self._lost, self._lose = [], host, how

    @property
    def has_lost(self) -> bool:
        return self._lost is None

    def _picture(self, body: bytes) -> Behaviour:
        async def behave(writer: asyncio.StreamWriter) -> None:
            asker = writer.get_extra_info("peername")[0]
            self.asked_by.append(asker)
            if self._lost is not None and asker == self._lost.address:
                self._has_asked.set()
                if self.asked_by.count(asker) > LAST_ANSWERED:
                    self._lose(self._lost)
                    self._lost = None
            elif self._lost is not None:
                await self._has_asked.wait()
            writer.write(body)
            await writer.drain()

        return behave


@contextmanager
def web_on(host: Host, make_jpeg: Callable[..., bytes]) -> Iterator[Web]:
    web = Web(host, make_jpeg)
    web.server.start()
    yield web
    web.server.stop()


class Shell:
    """Commands on one host, one after the other; what they say goes to a file."""

    def __init__(self, host: Host, log: Path) -> None:
        self.host, self.log = host, log

    def python(self, *words: str, environment: Environment | None = None) -> str:
        """Run Python with these words; what it says."""
        self.log.unlink(missing_ok=True)
        process = self.host.start([sys.executable, *words], self.log, environment)
        try:
            code = process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, self.log.read_text()
        return self.log.read_text()


def build_words(web: Web, candidates: str, dataset: str | Path, *flags: str) -> list[str]:
    return [
        *("-m", "diagonal_data.shards", "web", "--candidates", candidates),
        *("--dataset", str(dataset), "--image-size", "32", "--samples-per-shard", "8"),
        *("--allow-hosts", web.server.host, *OPEN, *flags),
    ]


@pytest.mark.ray
def test_a_node_that_is_cut_off_costs_no_shard(
    network: Build, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    outside, head, far = network("outside", "head", "far")
    shell = Shell(head, tmp_path / "log")
    with web_on(outside, make_jpeg) as web:
        listed, whole, lost = web.write_candidates(tmp_path), tmp_path / "whole", tmp_path / "lost"
        shell.python(*build_words(web, listed, whole, "--local"))
        driver = start_ray(head, [far], tmp_path)
        web.lose_at_work(far, Host.cut_off)
        shell.python(*build_words(web, listed, lost, "--workers", "2"), environment=driver)
    assert web.has_lost
    assert set(web.asked_by) == {head.address, far.address}
    assert tars(lost) == tars(whole)
    assert len(tars(whole)) == SAMPLES / 8
    assert rows(lost).equals(rows(whole))


MAKE_BUCKET = f"""
import time
import fsspec
from botocore.exceptions import BotoCoreError

store = fsspec.filesystem("s3")
while True:
    try:
        store.makedirs("{BUCKET}", exist_ok=True)
        store.pipe("{BUCKET}/ready", b"yes")
        break
    except (OSError, BotoCoreError):
        time.sleep(0.2)  # the poll interval
"""
COPY = """
import sys
import fsspec

fsspec.filesystem("s3").get(sys.argv[1], sys.argv[2], recursive=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.ray
def test_two_nodes_of_which_one_dies_fill_a_bucket_that_a_third_reads(
    network: Build, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    outside, store, head, other = network("outside", "store", "head", "other")
    weed, shell = Weed(tmp_path, store.address), Shell(head, tmp_path / "log")
    store.start(weed.command, tmp_path / "weed.log")
    secrets = {
        "AWS_ENDPOINT_URL": str(weed.settings["endpoint_url"]),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    shell.python("-c", MAKE_BUCKET, environment=secrets)
    there, whole, copy = f"{BUCKET}/d", tmp_path / "whole", tmp_path / "copy"
    with web_on(outside, make_jpeg) as web:
        listed = web.write_candidates(tmp_path)
        shell.python(*build_words(web, listed, whole, "--local"))
        driver = start_ray(head, [other], tmp_path, secrets)
        web.lose_at_work(other, Host.end)
        shell.python(*build_words(web, listed, there, "--workers", "2"), environment=driver)
        assert web.has_lost
        assert set(web.asked_by) == {head.address, other.address}
    reader = Shell(outside, tmp_path / "read.log")
    reader.python("-c", COPY, f"{there}/", f"{copy}/", environment=secrets)
    assert tars(copy) == tars(whole)
    assert rows(copy).equals(rows(whole))
    funnel = ["-m", "diagonal_data.report", "funnel", "--json", "--dataset"]
    counts = [
        # The last line: what the log says goes to the same file.
        json.loads(reader.python(*funnel, place, environment=secrets).splitlines()[-1])
        for place in (there, str(whole))
    ]
    assert counts[0] | {"dataset": ""} == counts[1] | {"dataset": ""}
    losses = []
    for name, data in (("there", there), ("here", str(whole))):
        run = tmp_path / f"run-{name}"
        words = ["-m", "diagonal_train", "tiny", "--data", data, "--run", str(run), *FEW_STEPS]
        reader.python(*words, environment=secrets)
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        losses.append([line["loss"] for line in lines])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
