"""The worst of the web in one run: every URL ends as one row with its reason, in bounded memory."""

import asyncio
import gzip
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.hostile_server import HostileServer, answer
from tests.pipeline.hostile_files import photo, pictures, saved

from diagonal_data.rows import read_rows, read_sample
from diagonal_data.schema import uid_for

MOST_MEGABYTES = 400
FLAGS = (
    *("--image-size", "64", "--resize-mode", "keep_ratio", "--samples-per-shard", "500", "--local"),
    *("--fetch.timeout-seconds", "12", "--fetch.first-byte-timeout-seconds", "3"),
    *("--fetch.retries", "1", "--fetch.retry-seconds", "0.1", "--fetch.max-per-host", "64"),
)


async def never(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a full or firewalled server does."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def endless(writer: asyncio.StreamWriter) -> None:
    """A live stream."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while True:
        writer.write(bytes(2**18))
        await writer.drain()


async def byte_a_second(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(1)


def servings(server: HostileServer, good: bytes) -> dict[str, tuple[str, str | None]]:
    """Name → (URL, reason) of servers that misbehave."""
    port = server.port
    server.put("/caf%E9.jpg", good)
    # Small on the way, large in memory, and no picture.
    packed = answer(gzip.compress(bytes(19 * 2**20)), "Content-Encoding: gzip")
    routes: dict[str, tuple[bytes | Callable[[asyncio.StreamWriter], Awaitable[None]], str | None]]
    routes = {
        "404": (answer(status="404 Not Found"), "not_found"),
        "410": (answer(status="410 Gone"), "not_found"),
        "403": (answer(status="403 Forbidden"), "forbidden"),
        "429 then 200": (server.in_turn((b"", "429 Slow"), (good, "200 OK")), None),
        "500": (answer(status="500 Oops"), "http_server_error"),
        "reset": (reset, "connect_failed"),
        "never answers": (never, "timed_out"),
        "drips": (byte_a_second, "too_slow"),
        "endless": (endless, "body_too_large"),
        "10 GB": (answer(b"x", length=10 * 2**30), "body_too_large"),
        "short body": (answer(good, length=len(good) + 9), "body_incomplete"),
        "gzip bomb": (
            answer(gzip.compress(bytes(2**26)), "Content-Encoding: gzip"),
            "body_too_large",
        ),
        **{f"gzip {i}": (packed, "not_an_image") for i in range(40)},
        "empty": (answer(), "empty_body"),
        "latin-1 header": (answer(good, "X-Robots-Tag: caf\xe9"), None),
        "huge headers": (answer(good, *(f"X-Robots-Tag: {'x' * 7000}",) * 4), None),
        "latin-1 redirect": (
            answer(b"", "Location: /caf\xe9.jpg", status="302 Found"),
            None,
        ),
        "loop": (answer(b"", "Location: /loop", status="302 Found"), "too_many_redirects"),
    }
    targets = {
        "file": ("file:///etc/hostname", "scheme_refused"),
        "metadata": ("http://169.254.169.254/latest/", "address_refused"),
        "private": ("http://10.0.0.1/", "address_refused"),
        "loopback 6": (f"http://[::1]:{port}/", "address_refused"),
        "decimal": (f"http://2130706433:{port}/", "address_refused"),
        "octal": (f"http://0177.0.0.1:{port}/", "address_refused"),
        "local name": (f"http://localhost:{port}/", "address_refused"),
        "data": ("data:image/png;base64,AA", "scheme_refused"),
    }
    for name, (target, reason) in targets.items():
        moved = answer(b"", f"Location: {target}", status="302 Found")
        routes[f"redirect to {name}"] = (moved, reason)
    urls = {name: server.url(f"/{i}-{len(name)}") for i, name in enumerate(routes)}
    urls["loop"] = server.url("/loop")
    for name, url in urls.items():
        server.routes[url.removeprefix(server.url(""))] = routes[name][0]
    return targets | {name: (urls[name], reason) for name, (_, reason) in routes.items()}


def addresses_of(server: HostileServer) -> dict[str, tuple[str, str | None]]:
    """Name → (URL, reason) of odd URLs."""
    server.put("/%C3%BC.jpg", saved(photo(), "JPEG"))
    return {
        "refused": ("http://127.0.0.1:1/x.jpg", "connect_failed"),
        "no tls": (f"https://{server.host}/x.jpg", "tls_failed"),
        "no such name": ("http://pictures.invalid/x.jpg", "dns_failed"),
        "idn": ("http://bücher.invalid/ü.jpg", "dns_failed"),
        "credentials": (f"http://me:secret@{server.host}/x.jpg", "url_has_credentials"),
        "60 kB": (server.url("/" + "a" * 60_000), "url_too_long"),
        "nonsense": ("not a url", "bad_url"),
        "unicode path": (
            server.put("/%C3%BC.jpg", saved(photo(), "JPEG")) and server.url("/ü.jpg"),
            None,
        ),
    }


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[bytes, str | None]]:
    return pictures()


def write_candidates(path: Path, rows: list[tuple[str | None, str]]) -> None:
    table = pa.table(
        {
            "uid": [uid_for(url or "", caption) for url, caption in rows],
            "url": pa.array([url for url, _ in rows], pa.string()),
            "caption": [caption for _, caption in rows],
        }
    )
    pq.write_table(table, path)


MEASURED = """
import runpy, sys
from pathlib import Path
sys.argv[0] = "shards"
runpy.run_module("diagonal_data.shards", run_name="__main__", alter_sys=True)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
"""Not `ru_maxrss`, which begins with the memory of the process that forks."""


def test_the_worst_of_the_web_costs_rows_and_no_more(
    tmp_path: Path, server: HostileServer, expected: dict[str, tuple[bytes, str | None]]
) -> None:
    good = expected["good jpeg"][0]
    cases = servings(server, good) | addresses_of(server)
    for i, (name, (content, reason)) in enumerate(expected.items()):
        cases[name] = (server.put(f"/picture-{i}", content, "Content-Type: image/jpeg"), reason)
    rows: list[tuple[str | None, str]] = [(url, name) for name, (url, _) in cases.items()]
    wanted = {name: reason for name, (_, reason) in cases.items()}
    odd = {"nul \0 in it": "bad_caption", "long" * 300_000: "bad_caption", "the same again": None}
    rows += [(cases["good png"][0], caption) for caption in odd]
    rows += [(None, "no url")]
    wanted |= odd | {"no url": "bad_url"}
    write_candidates(tmp_path / "c.parquet", rows)

    command = [sys.executable, "-c", MEASURED, "web", *FLAGS]
    command += ["--candidates", str(tmp_path / "c.parquet"), "--dataset", str(tmp_path / "d")]
    command += ["--allow-hosts", "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    table = read_rows(str(tmp_path / "d"), ["caption", "reason", "key", "tar_offset", "tar_bytes"])
    found = dict(zip(table["caption"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert {name[:30]: found[name] for name in wanted} == {n[:30]: wanted[n] for n in wanted}
    assert len(table) == len(rows)
    assert int(done.stdout.split()[-1]) / 1024 < MOST_MEGABYTES
    assert server.requests.count(cases["good png"][0].removeprefix(server.url(""))) == 1
    samples = [row for row in table.to_pylist() if row["reason"] is None]
    assert {read_sample(str(tmp_path / "d"), row).key for row in samples} == {
        row["key"] for row in samples
    }
