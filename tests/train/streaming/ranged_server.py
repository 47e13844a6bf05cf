"""A server on 127.0.0.1 that gives byte ranges, over HTTP and as S3 does, and misbehaves on demand.

`server.next` holds how the coming requests are answered; when it is empty they are answered well:

    ("drop", k)    the connection is reset after k bytes of the answer
    ("cut", k)     the connection is closed after k bytes, fewer than announced
    ("short", k)   a well-formed answer of only k bytes
    ("stall", k)   after k bytes nothing more, until the test is over
    ("status", s)  an error without a body; ("busy", t) is 503 with Retry-After: t
    ("whole",)     the whole file, as if no range had been asked for
"""

import re
import socket
import struct
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = tuple[Any, ...]


class _QuietServer(ThreadingHTTPServer):
    """Clients that give up are what the tests are about."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RangedServer:
    """Serves `files` by path; `asked` lists the ranges of all requests."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.reset()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def reset(self) -> None:
        """As it was when it was made."""
        self._over.set()
        self._over = threading.Event()
        self.files: dict[str, bytes] = {}
        self.etag = "one"
        self.next: deque[Step] = deque()
        self.always: Step = ("well",)
        """How a request is answered when `next` is empty."""
        self.asked: list[tuple[int, int]] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        assert found, "every request asks for a range"
        begin, end = int(found[1]), int(found[2]) + 1
        self.asked.append((begin, end))
        over = self._over
        kind, *details = self.next.popleft() if self.next else self.always
        content = self.files.get(request.path)
        if content is None:
            kind, details = "status", [404]
        elif begin >= len(content):
            kind, details = "status", [416]
        if kind in ("status", "busy"):
            self._refuse(request, *details) if kind == "status" else self._busy(request, *details)
            return
        assert content is not None
        if kind == "whole":
            begin, end = 0, len(content)
        elif kind == "short":
            end = begin + details[0]
        body = content[begin:end]
        self._head(request, 200 if kind == "whole" else 206, begin, len(body), len(content))
        if kind in ("drop", "cut", "stall"):
            request.wfile.write(body[: details[0]])
            self._break(request, kind, over)
            return
        try:
            request.wfile.write(body)
        except ConnectionError:
            request.close_connection = True

    def _head(self, request: Any, status: int, begin: int, length: int, size: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(length))
        request.send_header("ETag", f'"{self.etag}"')
        if status == 206:
            request.send_header("Content-Range", f"bytes {begin}-{begin + length - 1}/{size}")
        request.end_headers()

    def _break(self, request: Any, kind: str, over: threading.Event) -> None:
        request.close_connection = True
        if kind == "stall":
            over.wait(60)
        elif kind == "drop":
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _refuse(self, request: Any, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _busy(self, request: Any, after: float) -> None:
        request.send_response(503)
        request.send_header("Retry-After", str(after))
        request.send_header("Content-Length", "0")
        request.end_headers()
