"""A slow and partly broken web on many loopback hosts, for measuring only.

    python fetch_web.py FOLDER --port P --hosts N   →   "ready" on stdout; ends when stdin closes

    /f/NAME?…   the file, after the latency        /gone/…   404, after the latency
    /hang/…     never answered                     /answered times of the answers of /f/, then none
    any other   404, after the latency (robots.txt among them)

The latency is log-normal, median 150 ms and sigma 0.5, and follows from host and path, so every
engine meets the same. Hosts are 127.1.0.1, 127.1.0.2, …
"""

import argparse
import asyncio
import functools
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LATENCY_MEDIAN_SECONDS, LATENCY_SIGMA = 0.150, 0.5
HANG_SHARE, GONE_SHARE, NO_NAME_SHARE = 0.08, 0.10, 0.03
URLS_PER_HOST, MAX_HOSTS = 16, 250
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"


def host_name(index: int) -> str:
    """The loopback address of one host."""
    return f"127.1.{index // 250}.{index % 250 + 1}"


def host_count(urls: int) -> int:
    """Hosts to spread so many URLs over, a few on each."""
    return max(8, min(MAX_HOSTS, urls // URLS_PER_HOST))


def plan_urls(names: Sequence[str], port: int, hosts: int, *, trouble: bool) -> list[str]:
    """One URL per file name, dealt to the hosts in turn; with `trouble`, the shares fail."""
    dice, urls = random.Random(1), []
    for i, name in enumerate(names):
        origin = f"http://{host_name(i % hosts)}:{port}"
        share = dice.random() if trouble else 1.0
        if share < HANG_SHARE:
            urls.append(f"{origin}/hang/{i}.jpg")
        elif share < HANG_SHARE + GONE_SHARE:
            urls.append(f"{origin}/gone/{i}.jpg")
        elif share < HANG_SHARE + GONE_SHARE + NO_NAME_SHARE:
            urls.append(f"http://host{i}.invalid/{i}.jpg")
        else:
            urls.append(f"{origin}/f/{name}?{i}")
    return urls


def latency_seconds(key: str) -> float:
    """How long the answer to this host and path takes."""
    return random.Random(key).lognormvariate(math.log(LATENCY_MEDIAN_SECONDS), LATENCY_SIGMA)


class SlowHttp(asyncio.Protocol):
    """One connection: GET without a body, one request at a time, kept open."""

    def __init__(self, folder: Path, answered: list[float]) -> None:
        self._folder, self._answered = folder, answered
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._host = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        """Answer later, once a request's head is there."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = rest
        path = head.split(b" ", 2)[1].decode("latin-1")
        if path.startswith("/hang/"):
            return
        is_last = b"connection: close" in head.lower()
        delay = 0.0 if path == "/answered" else latency_seconds(self._host + path)
        asyncio.get_running_loop().call_later(delay, self._answer, path, is_last)

    def _answer(self, path: str, is_last: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._content(path))
        if is_last:
            self._transport.close()

    def _content(self, path: str) -> bytes:
        kind, _, name = path.partition("?")[0][1:].partition("/")
        if kind == "answered":
            body = json.dumps(self._answered).encode()
            self._answered.clear()
            return _head("application/json", len(body)) + body
        file = self._folder / Path(name).name
        if kind != "f" or not file.is_file():
            return NOT_FOUND
        self._answered.append(time.monotonic())
        body = file.read_bytes()
        ending = file.suffix.removeprefix(".").replace("jpg", "jpeg")
        return _head(f"image/{ending}", len(body)) + body


def _head(content_type: str, length: int) -> bytes:
    lines = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    return lines.encode()


async def serve(folder: Path, port: int, hosts: int) -> None:
    """Serve until stdin is closed."""
    loop = asyncio.get_running_loop()
    addresses = [host_name(i) for i in range(hosts)]
    handler = functools.partial(SlowHttp, folder, [])
    server = await loop.create_server(handler, addresses, port, backlog=1024)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--hosts", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.folder, given.port, given.hosts))


if __name__ == "__main__":
    main()
