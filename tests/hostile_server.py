"""A loopback server that answers the way the worst of the web does."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]

DRIP_SECONDS = 0.02
OVERLAP_SECONDS = 0.02
TLS_HANDSHAKE = b"\x16"


def answer(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    """One HTTP answer to the letter; `length` lies about the body's."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def drip(writer: asyncio.StreamWriter) -> None:
    """A body of 1,000 bytes, one at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)


async def slow(writer: asyncio.StreamWriter) -> None:
    """A good answer after a moment, so that requests overlap."""
    await asyncio.sleep(OVERLAP_SECONDS)
    writer.write(answer(b"slow"))


class HostileServer:
    """One request per connection; a path without a route is a 404, queries choose no route.

    It listens on loopback, or with the socket that it gets.
    """

    def __init__(self, listening: socket.socket | None = None) -> None:
        self._socket = listening or socket.create_server(("127.0.0.1", 0))
        address, self.port = self._socket.getsockname()
        self.host = f"{address}:{self.port}"
        self.routes: dict[str, bytes | Behaviour] = {
            "/drip": drip,
            "/slow": slow,
        }
        self.requests: list[str] = []
        self.heads: dict[str, str] = {}
        self.most_at_a_time = 0
        self._now = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def put(
        self,
        path: str,
        body: bytes = b"",
        *headers: str,
        status: str = "200 OK",
        length: int | None = None,
    ) -> str:
        """Serve an answer under `path`; gives its URL."""
        self.routes[path] = answer(body, *headers, status=status, length=length)
        return self.url(path)

    def in_turn(self, *answers: tuple[bytes, str]) -> Behaviour:
        """A route: one (body, status line) after the other, the last for ever."""
        left = [answer(body, status=status) for body, status in answers]

        async def behave(writer: asyncio.StreamWriter) -> None:
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

        return behave

    def put_page(self, path: str, body: str, *headers: str) -> str:
        """Serve an HTML page; gives its URL."""
        return self.put(path, body.encode(), "Content-Type: text/html", *headers)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, sock=self._socket)
        self._started.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task that only waits for an event of its own is garbage to the event loop.
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._now += 1
        self.most_at_a_time = max(self.most_at_a_time, self._now)
        try:
            first = await reader.readexactly(1)
            if first == TLS_HANDSHAKE:
                writer.write(answer(status="400 No TLS here"))
                return
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            self.requests.append(path)
            self.heads[path] = head
            route = self.routes.get(
                path.partition("?")[0], answer(b"no such page", status="404 Not Found")
            )
            if isinstance(route, bytes):
                writer.write(route)
                await writer.drain()
            else:
                await route(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client gave up, or the test is over: nothing is left to say.
            pass
        finally:
            self._now -= 1
            self._tasks.discard(task)
            writer.close()
