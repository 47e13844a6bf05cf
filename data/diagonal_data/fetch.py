"""URLs to bytes or a reason: polite, bounded, and never raising for what the web does.

One URL is one or more hops (redirects), and every hop passes the same checks in this order:

    http(s) URL?  →  host listed, address literal public?  →  robots.txt of its origin  →  slot of
    its host, then a slot of all  →  DNS answers public? (addresses.py)  →  status  →  opt-out
    header  →  body up to max_bytes

The total deadline counts the time inside slots, so a URL does not time out for standing in line.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from diagonal_data import addresses, robots
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.schema import Reason

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
CHUNK_BYTES = 64 * 2**10
DNS_CACHE_SECONDS = 300
# A robots.txt that cannot be had for these reasons says that the page cannot be had either, which
# tells more than "disallowed".
HOST_TROUBLES = frozenset(
    {Reason.DNS_FAILED, Reason.CONNECT_FAILED, Reason.TIMED_OUT, Reason.ADDRESS_REFUSED}
)
# A robots.txt that is missing (RFC 9309 §2.3.1.3), redirected too often (§2.3.1.2) or empty.
NO_ROBOTS = frozenset({Reason.HTTP_CLIENT_ERROR, Reason.TOO_MANY_REDIRECTS, Reason.EMPTY_BODY})


@dataclass(frozen=True, kw_only=True)
class Response:
    """What became of one URL: a body, or a reason; exactly one of the two is None."""

    url: str
    final_url: str
    """The last URL of the redirects."""
    http_status: int | None
    body: bytes | None
    headers: Mapping[str, str]
    """Of the last answer; names in lower case, repeated ones joined by a comma."""
    reason: Reason | None
    detail: str | None
    robots: str
    """`allowed`, `disallowed` or `not_asked`."""
    fetch_ms: int
    """Time inside requests, without waiting for slots and robots.txt."""


@dataclass(frozen=True, kw_only=True)
class _Hop:
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    reason: Reason | None = None
    detail: str | None = None
    location: str | None = None
    robots: str = "not_asked"
    seconds: float = 0.0


class Fetcher:
    """One HTTP session with its limits, name cache and robots.txt rules.

    Rules are kept until the session closes; RFC 9309 §2.4 allows 24 hours.
    """

    def __init__(
        self,
        config: FetchConfig,
        allow_hosts: Sequence[str] = (),
        *,
        only_hosts: Sequence[str] | None = None,
        dns: AbstractResolver | None = None,
    ) -> None:
        """Set the limits; nothing is opened before `async with`.

        Args:
            config: manners and bounds.
            allow_hosts: HOST or HOST:PORT that may be visited on private addresses.
            only_hosts: if given, no other host is visited, not even by a redirect.
            dns: asked for addresses in place of the system; its answers are checked all the same.
        """
        self._config = config
        self._allow_hosts = tuple(allow_hosts)
        self._only_hosts = only_hosts
        self._dns = dns
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._host_slots: dict[str, asyncio.Semaphore] = {}
        self._robots: dict[str, asyncio.Task[robots.RobotsRules | Response]] = {}

    async def __aenter__(self) -> Self:
        self._resolver = addresses.CheckedResolver(
            self._dns or addresses.SystemDns(), self._allow_hosts
        )
        connector = aiohttp.TCPConnector(
            resolver=self._resolver, limit=0, ttl_dns_cache=DNS_CACHE_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._config.user_agent},
            # The total is kept by `_request`: aiohttp's would not span redirects.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._config.connect_timeout_seconds),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._robots.values():
            task.cancel()
        await asyncio.gather(*self._robots.values(), return_exceptions=True)
        await self._session.close()
        await self._resolver.close()

    async def admit(self, url: str) -> Response | None:
        """Why the URL may not be asked for, or None if it may: for clients other than this one.

        Of a host's name only the addresses that its robots.txt came from have been judged.
        """
        hop = await self._refusal(url, for_robots=False)
        return None if hop is None else _response(url, url, hop, 0.0)

    async def get(self, url: str) -> Response:
        """The body, or why there is none; raises for nothing that a server can do."""
        return await self._follow(url, for_robots=False)

    async def _follow(self, url: str, *, for_robots: bool) -> Response:
        target, seconds, hop = url, 0.0, _Hop()
        for _ in range(self._config.max_redirects + 1):
            budget = self._config.timeout_seconds - seconds
            hop = await self._hop(target, budget, for_robots=for_robots)
            seconds += hop.seconds
            if hop.location is None:
                return _response(url, target, hop, seconds)
            target = hop.location
        detail = f"more than {self._config.max_redirects} redirects"
        hop = replace(hop, reason=Reason.TOO_MANY_REDIRECTS, detail=detail)
        return _response(url, target, hop, seconds)

    async def _hop(self, target: str, budget: float, *, for_robots: bool) -> _Hop:
        refusal = await self._refusal(target, for_robots=for_robots)
        url = addresses.http_url(target)
        if refusal is not None or url is None:
            return refusal or _Hop(reason=Reason.BAD_URL)
        hop = await self._request(url, budget, for_robots=for_robots)
        asked = self._config.respect_robots and not for_robots
        return replace(hop, robots="allowed") if asked else hop

    async def _refusal(self, target: str, *, for_robots: bool) -> _Hop | None:
        """What the rules say against a hop before it is asked for."""
        url = addresses.http_url(target)
        if url is None:
            return _Hop(reason=Reason.BAD_URL, detail=f"no http(s) URL: {target[:200]}")
        host, port = url.raw_host or "", url.port or 0
        refusal = addresses.literal_refusal(host, port, self._allow_hosts)
        if self._only_hosts is not None and not addresses.is_listed(host, port, self._only_hosts):
            refusal = f"{host} is not among the hosts to visit"
        if refusal:
            return _Hop(reason=Reason.ADDRESS_REFUSED, detail=refusal)
        if for_robots or not self._config.respect_robots:
            return None
        rules = await self._rules_of(url)
        if isinstance(rules, Response):
            return _unreachable_robots(rules)
        if not robots.may_fetch(rules, str(url)):
            reason = Reason.ROBOTS_DISALLOWED
            return _Hop(reason=reason, detail="robots.txt", robots="disallowed")
        return None

    async def _rules_of(self, url: URL) -> robots.RobotsRules | Response:
        """The rules of the URL's origin, or the failed request if they could not be had."""
        origin = str(url.origin())
        if origin not in self._robots:
            self._robots[origin] = asyncio.create_task(self._load_rules(origin))
        # Shielded: others may wait for the same file when this URL is given up.
        return await asyncio.shield(self._robots[origin])

    async def _load_rules(self, origin: str) -> robots.RobotsRules | Response:
        response = await self._follow(f"{origin}/robots.txt", for_robots=True)
        if response.body is not None:
            text = response.body.decode("utf-8", "replace")
            return robots.parse_robots(text, self._config.robots_agent)
        return robots.ALLOW_ALL if response.reason in NO_ROBOTS else response

    async def _request(self, url: URL, budget: float, *, for_robots: bool) -> _Hop:
        loop = asyncio.get_running_loop()
        own_slots = asyncio.Semaphore(self._config.max_per_host)
        host_slots = self._host_slots.setdefault(url.raw_host or "", own_slots)
        # The host's slot first: in the other order the line for one slow host would fill all slots.
        async with host_slots, self._slots:
            started = loop.time()
            try:
                async with asyncio.timeout(budget):
                    hop = await self._exchange(url, for_robots=for_robots)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                reason, detail = trouble_of(error)
                hop = _Hop(reason=reason, detail=detail)
            return replace(hop, seconds=loop.time() - started)

    async def _exchange(self, url: URL, *, for_robots: bool) -> _Hop:
        async with self._session.get(url, allow_redirects=False) as answer:
            headers = {
                name.lower(): ", ".join(answer.headers.getall(name)) for name in answer.headers
            }
            hop = _Hop(status=answer.status, headers=headers)
            if answer.status in REDIRECT_STATUSES and "location" in headers:
                return replace(hop, location=urljoin(str(url), answer.headers["location"]))
            if not 200 <= answer.status < 300:
                client_error = 400 <= answer.status < 500
                reason = Reason.HTTP_CLIENT_ERROR if client_error else Reason.HTTP_SERVER_ERROR
                return replace(hop, reason=reason, detail=f"status {answer.status}")
            tags = answer.headers.getall("X-Robots-Tag", [])
            opted_out = robots.opts_out(tags, self._config.robots_agent)
            if opted_out and self._config.respect_opt_out and not for_robots:
                detail = f"X-Robots-Tag: {', '.join(tags)[:200]}"
                return replace(hop, reason=Reason.OPTED_OUT, detail=detail)
            limit = robots.ROBOTS_MAX_BYTES if for_robots else self._config.max_bytes
            body, is_whole = await _read_body(answer, limit)
            if not is_whole and not for_robots:
                detail = f"more than {limit} bytes"
                return replace(hop, reason=Reason.BODY_TOO_LARGE, detail=detail)
            if not body:
                return replace(hop, reason=Reason.EMPTY_BODY)
            return replace(hop, body=body)


def trouble_of(error: Exception) -> tuple[Reason, str]:
    """The reason for an exception of a request; what is no usable answer is `connect_failed`."""
    detail = f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, TimeoutError):
        return Reason.TIMED_OUT, detail
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        refused = isinstance(error.os_error, addresses.AddressRefusedError)
        return (Reason.ADDRESS_REFUSED if refused else Reason.DNS_FAILED), str(error.os_error)[:300]
    if isinstance(error, aiohttp.ClientPayloadError):
        return Reason.BODY_INCOMPLETE, detail
    # aiohttp's InvalidURL is a ValueError too.
    is_bad_url = isinstance(error, ValueError)
    return (Reason.BAD_URL if is_bad_url else Reason.CONNECT_FAILED), detail


async def _read_body(answer: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, unpacked, and whether that is all of the body."""
    chunks, size = [], 0
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            return b"".join(chunks)[:limit], False
    return b"".join(chunks), True


def _unreachable_robots(failed: Response) -> _Hop:
    """Unreachable means disallowed (RFC 9309 §2.3.1.4)."""
    is_host_trouble = failed.reason in HOST_TROUBLES
    reason = failed.reason if is_host_trouble else Reason.ROBOTS_DISALLOWED
    detail = f"robots.txt: {failed.reason} {failed.detail or ''}".strip()
    return _Hop(reason=reason, detail=detail, robots="disallowed")


def _response(url: str, final_url: str, hop: _Hop, seconds: float) -> Response:
    return Response(
        url=url,
        final_url=final_url,
        http_status=hop.status,
        body=hop.body,
        headers=hop.headers,
        reason=hop.reason,
        detail=hop.detail,
        robots=hop.robots,
        fetch_ms=round(seconds * 1000),
    )
