"""One request and its answer, within deadlines and bounds; redirects are the caller's affair.

    connect ─┬─ first byte ─┬─ body: byte cap, least rate
             └──────────────┴──────────────────────────── deadline of the attempt

A body larger than `SMALL_BODY_BYTES` needs room, of which there are `LARGE_BODIES_BYTES`. So what
bodies take in memory is bounded whatever servers send, with hundreds of requests in flight.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import quote_from_bytes, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from diagonal_data.addresses import AddressRefusedError, ContactMissingError
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.robots import PRINTABLE_ASCII
from diagonal_data.schema import Reason

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
DNS_CACHE_SECONDS = 10
"""Of the connector; the memory of names is dns.py's."""
KEEP_ALIVE_SECONDS = 15.0
MOST_HEADER_CHARS = 8_000
RATE_GRACE_SECONDS = 5.0
"""A body may be slower than the least rate for so long."""
SMALL_BODY_BYTES = 2**18
LARGE_BODIES_BYTES = 64 * 2**20
STATUS_REASONS = {
    401: Reason.FORBIDDEN,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    429: Reason.RATE_LIMITED,
    451: Reason.FORBIDDEN,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request came to: a body, a `location` to go on to, or a reason."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case, repeated ones joined by a comma."""
    x_robots_tags: tuple[str, ...] = ()
    """One by one, as commas would lose what belongs together."""
    body: bytes | None = None
    location: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    seconds: float = 0.0


Stop = Callable[[Answer], Answer | None]


class BodyRoom:
    """Bytes for large bodies, until the end of their use.

    A body takes all the room it may come to need at once, so that two can never wait for each
    other.
    """

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait for room, hold it for the block; what is larger than all of it takes all of it."""
        size = min(size, self._total)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((size, place))
        self._serve()
        try:
            await place
            yield
        finally:
            if place.done() and not place.cancelled():
                self._left += size
            self._serve()

    def _serve(self) -> None:
        """Give room in the order of asking, so that no large body is passed over for ever."""
        while self._line and (self._line[0][1].done() or self._line[0][0] <= self._left):
            size, place = self._line.popleft()
            if not place.done():
                self._left -= size
                place.set_result(None)


class _Clock:
    """The deadlines of one request, kept by one `asyncio.timeout`."""

    def __init__(self, config: FetchConfig, budget: float) -> None:
        self._time = asyncio.get_running_loop().time
        self._least = config.min_bytes_per_second
        self._deadline = self._time() + budget
        first_byte = self._time() + config.first_byte_timeout_seconds
        self.limit = asyncio.timeout_at(min(first_byte, self._deadline))
        self.is_rate_bound = False
        """Whether the deadline in force is the least rate's."""

    def body_begins(self) -> None:
        """The head is here: from now on the rate counts."""
        self._began = self._time()
        self.received(0)

    def received(self, size: int) -> None:
        """Time is out at the deadline, or when the least rate is missed, whichever is first."""
        least = self._least
        missed = self._began + RATE_GRACE_SECONDS + size / least if least else self._deadline
        self.is_rate_bound = missed < self._deadline
        ends = min(missed, self._deadline)
        # Mostly the deadline itself, chunk after chunk, and a timer costs as much as a chunk.
        if ends != self.limit.when():
            self.limit.reschedule(ends)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Time that is not the server's does not count."""
        stopped = self._time()
        self.limit.reschedule(None)
        yield
        self._began += self._time() - stopped
        self._deadline += self._time() - stopped


class HttpClient:
    """A session: pooled connections, pooled TLS context, no cookies, no proxies."""

    def __init__(self, config: FetchConfig, resolver: AbstractResolver) -> None:
        self._config = config
        self._resolver = resolver
        self._room = BodyRoom(LARGE_BODIES_BYTES)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            limit=0,
            ttl_dns_cache=DNS_CACHE_SECONDS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        connecting = self._config.connect_timeout_seconds
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._config.full_user_agent},
            # Our own deadlines span what aiohttp's do not: DNS, and the redirects of an attempt.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(
        self,
        url: URL,
        *,
        budget: float,
        max_bytes: int,
        stop: Stop,
        room: contextlib.AsyncExitStack,
    ) -> Answer:
        """Send a GET; raises for nothing that a server can do.

        Args:
            url: checked by the caller; the resolver checks the address.
            budget: seconds for all of it, except waiting for room.
            max_bytes: of the body; of a longer one these come with the reason.
            stop: sees the head of a good answer; what it returns stands for the answer, and the
                body is not read.
            room: takes what a large body holds; the caller closes it when the body is used.
        """
        loop = asyncio.get_running_loop()
        started, status = loop.time(), None
        clock = _Clock(self._config, budget)
        try:
            async with clock.limit, self._session.get(url, allow_redirects=False) as response:
                status = response.status
                answer = _head_of(response, url)
                if not (answer.location or answer.reason):
                    answer = stop(answer) or await self._read(
                        response, answer, max_bytes, clock, room
                    )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            reason, detail = trouble_of(error)
            if isinstance(error, TimeoutError) and clock.is_rate_bound:
                least = self._config.min_bytes_per_second
                reason, detail = Reason.TOO_SLOW, f"less than {least} bytes per second"
            answer = Answer(status=status, reason=reason, detail=detail)
        return replace(answer, seconds=loop.time() - started)

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        head: Answer,
        max_bytes: int,
        clock: _Clock,
        room: contextlib.AsyncExitStack,
    ) -> Answer:
        chunks, size = [], 0
        clock.body_begins()
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            if size <= SMALL_BODY_BYTES < size + len(chunk):
                # The length that is declared is the packed one.
                packed = "content-encoding" in head.headers
                expected = max_bytes if packed else response.content_length or max_bytes
                with clock.stopped():
                    await room.enter_async_context(self._room.hold(min(expected, max_bytes)))
            size += len(chunk)
            clock.received(size)
            if size > max_bytes:
                detail = f"more than {max_bytes} bytes"
                body = b"".join(chunks)[:max_bytes]
                return replace(head, body=body, reason=Reason.BODY_TOO_LARGE, detail=detail)
        body = b"".join(chunks)
        return replace(head, body=body) if body else replace(head, reason=Reason.EMPTY_BODY)


def trouble_of(error: Exception) -> tuple[Reason, str]:
    """The reason for an exception of a request; what is no usable answer is `connect_failed`."""
    detail = clean_text(f"{type(error).__name__}: {error}")[:300]
    if isinstance(error, TimeoutError):
        return Reason.TIMED_OUT, detail
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _dns_reason(error.os_error), str(error.os_error)[:300]
    if isinstance(error, aiohttp.ClientPayloadError):
        return Reason.BODY_INCOMPLETE, detail
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return Reason.TLS_FAILED, detail
    # aiohttp's InvalidURL is a ValueError too.
    is_bad_url = isinstance(error, ValueError)
    return (Reason.BAD_URL if is_bad_url else Reason.CONNECT_FAILED), detail


def clean_text(text: str) -> str:
    """What a server sent, fit for a table: bytes that are no UTF-8 stand in headers as half
    surrogate pairs, and some servers send megabytes."""
    return text[:MOST_HEADER_CHARS].encode("utf-8", "replace").decode()


def _quoted(location: str) -> str:
    """The header's bytes, those beyond ASCII as %XX: so browsers ask for them too."""
    return quote_from_bytes(location.encode("utf-8", "surrogateescape"), safe=PRINTABLE_ASCII)


def _dns_reason(error: OSError) -> Reason:
    if isinstance(error, ContactMissingError):
        return Reason.CONTACT_MISSING
    return Reason.ADDRESS_REFUSED if isinstance(error, AddressRefusedError) else Reason.DNS_FAILED


def _head_of(response: aiohttp.ClientResponse, url: URL) -> Answer:
    """The answer without its body: where it leads, or why it is none."""
    received, status = response.headers, response.status
    headers = {name.lower(): clean_text(", ".join(received.getall(name))) for name in received}
    tags = tuple(map(clean_text, received.getall("X-Robots-Tag", [])))
    head = Answer(status=status, headers=headers, x_robots_tags=tags)
    if status in REDIRECT_STATUSES and "location" in headers:
        return replace(head, location=urljoin(str(url), _quoted(received["location"])))
    if 200 <= status < 300:
        return head
    others = Reason.HTTP_CLIENT_ERROR if 400 <= status < 500 else Reason.HTTP_SERVER_ERROR
    reason = STATUS_REASONS.get(status, others)
    return replace(head, reason=reason, detail=f"status {status}")
