"""URLs to bytes or a reason: polite, bounded, and never raising for what the web does.

An attempt is one or more hops (redirects), and every hop passes the same checks in this order:

    http(s) URL?  →  on a block list?  →  address literal public?  →  robots.txt and tdmrep.json of
    its origin  →  slot of its host, then a slot of all  →  DNS answers public? (dns.py)  →  status
    →  opt-out header  →  body within its bounds (http_client.py)

The deadline of an attempt counts the time inside requests, so a URL does not time out for standing
in line. No connection, a timeout, 429 and 5xx are tried again, later.
"""

import asyncio
import contextlib
import random
import resource
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Self

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import AsyncResolver
from yarl import URL

from diagonal_data import addresses, opt_outs, retry_after, robots, site_rules
from diagonal_data.block_lists import BlockLists
from diagonal_data.dns import CachedDns, CheckedResolver
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_data.host_slots import HostClosedError, HostSlots
from diagonal_data.http_client import Answer, HttpClient
from diagonal_data.response import Response, after_hop, after_verdict
from diagonal_data.schema import Reason
from diagonal_data.site_rules import SiteRules, WebCache
from diagonal_infra.shared import Here, Shared

RETRIED = frozenset(
    {Reason.CONNECT_FAILED, Reason.TIMED_OUT, Reason.RATE_LIMITED, Reason.HTTP_SERVER_ERROR}
)
HOST_FAILURES = RETRIED | {Reason.TOO_SLOW}
"""What makes a host count as failing."""
TDMREP_MAX_BYTES = 2**20
MOST_SOCKETS = 16_384


class Fetcher:
    """One HTTP session with its limits, and the rules of the sites it visits."""

    def __init__(
        self,
        config: FetchConfig,
        allow_hosts: Sequence[str] = (),
        *,
        ledger: Shared | None = None,
        cache: WebCache | None = None,
        block: BlockLists | None = None,
        only_hosts: Sequence[str] | None = None,
        dns: AbstractResolver | None = None,
    ) -> None:
        """Set the limits; nothing is opened before `async with`.

        Args:
            config: manners and bounds.
            allow_hosts: HOST or HOST:PORT that may be visited on private addresses.
            ledger: the host ledger of the run; one of its own if None.
            cache: names and site rules known to this process; one of its own if None.
            block: what must not be asked for.
            only_hosts: if given, no other host is visited, not even by a redirect.
            dns: asked for addresses in place of the system; its answers are checked all the same.
        """
        self._config = config
        self._allow_hosts = tuple(allow_hosts)
        self._only_hosts = only_hosts
        self._dns = dns
        self._block = block
        self._cache = cache or WebCache()
        self._ledger = ledger or Here(HostLedger(config))
        self._loading: dict[str, asyncio.Task[SiteRules]] = {}

    async def __aenter__(self) -> Self:
        _allow_many_sockets()
        timeout, has_contact = self._config.connect_timeout_seconds, bool(self._config.contact)
        dns = CachedDns(self._dns or AsyncResolver(), self._cache.names, timeout)
        self._resolver = CheckedResolver(dns, self._allow_hosts, has_contact=has_contact)
        async with contextlib.AsyncExitStack() as opened:
            opened.push_async_callback(self._resolver.close)
            self._client = await opened.enter_async_context(
                HttpClient(self._config, self._resolver)
            )
            self._slots = await opened.enter_async_context(HostSlots(self._ledger, self._config))
            opened.push_async_callback(self._stop_loading)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def admit(self, url: str) -> Response | None:
        """Why the URL may not be asked for, or None if it may: for clients other than this one.

        Of a host's name only the addresses that its robots.txt came from have been judged.
        """
        response = Response(url=url, final_url=url)
        refused = await self._refusal(response, for_rules=False)
        return refused if refused.reason else None

    async def get(self, url: str) -> Response:
        """The body, or why there is none; raises for nothing that a server can do."""
        async with self.open(url) as response:
            return response

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, for_rules: bool = False) -> AsyncIterator[Response]:
        """`get`, for bodies that are large together: the block holds the memory of this one."""
        attempts, milliseconds = 0, 0
        while True:
            async with contextlib.AsyncExitStack() as room:
                response = await self._follow(url, room, for_rules=for_rules)
                asked = response.attempts > 0
                attempts += asked
                milliseconds += response.fetch_ms
                wait = self._wait_before(attempts, response) if asked else None
                if wait is None:
                    yield replace(response, attempts=attempts, fetch_ms=milliseconds)
                    return
            await asyncio.sleep(wait)

    def _wait_before(self, attempts: int, response: Response) -> float | None:
        """Seconds until the next attempt, or None if there is none."""
        config = self._config
        # An odd 3xx counts as a server's error, but it would be as odd the next time.
        odd = response.reason is Reason.HTTP_SERVER_ERROR and (response.http_status or 500) < 500
        if response.reason not in RETRIED or odd or attempts > config.retries:
            return None
        # What Retry-After asks for, the slots of the host wait; see `_note`.
        if (response.retry_after_seconds or 0.0) > config.max_retry_after_seconds:
            return None
        return config.retry_seconds * 2 ** (attempts - 1) * random.uniform(0.5, 1.5)

    async def _follow(
        self, url: str, room: contextlib.AsyncExitStack, *, for_rules: bool
    ) -> Response:
        """One attempt."""
        response = Response(url=url, final_url=url)
        for _ in range(self._config.max_redirects + 1):
            response = await self._refusal(response, for_rules=for_rules)
            if response.reason is not None:
                return response
            response, location = await self._hop(response, room, for_rules=for_rules)
            if location is None:
                return response
            response = replace(response, final_url=location)
        detail = f"more than {self._config.max_redirects} redirects"
        return replace(response, reason=Reason.TOO_MANY_REDIRECTS, detail=detail)

    async def _hop(
        self, response: Response, room: contextlib.AsyncExitStack, *, for_rules: bool
    ) -> tuple[Response, str | None]:
        url = addresses.http_url(response.final_url)
        assert url is not None
        host = addresses.host_of(url)
        try:
            async with self._slots.slot(host):
                answer = await self._client.ask(
                    url,
                    budget=self._config.timeout_seconds - response.fetch_ms / 1000,
                    max_bytes=self._max_bytes(url, for_rules=for_rules),
                    stop=lambda head: None if for_rules else self._refused_head(head),
                    room=room,
                )
        except HostClosedError as closed:
            return replace(response, reason=closed.reason, detail=closed.detail), None
        retry_after_seconds = retry_after.seconds_of(answer.headers.get("retry-after", ""))
        # A hop that had to hurry for the hops before it says nothing of its host.
        hurried = answer.reason is Reason.TIMED_OUT and response.fetch_ms > 0
        self._note(host, answer, retry_after_seconds, failed=not hurried)
        taken_in = after_hop(response, answer, for_rules=for_rules)
        return replace(taken_in, retry_after_seconds=retry_after_seconds), answer.location

    def _max_bytes(self, url: URL, *, for_rules: bool) -> int:
        if not for_rules:
            return self._config.max_bytes
        return robots.ROBOTS_MAX_BYTES if url.path == "/robots.txt" else TDMREP_MAX_BYTES

    def _refused_head(self, head: Answer) -> Answer | None:
        """The head with a reason if it says enough, so that the body is not even read."""
        agent, most = self._config.robots_agent, self._config.max_bytes
        said = opt_outs.opt_out_in_headers(head.headers, head.x_robots_tags, agent)
        if said is not None and self._config.respect_opt_out:
            return replace(head, reason=Reason.OPTED_OUT, detail=said)
        length = head.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            detail = f"{length[:20]} bytes, more than {most}"
            return replace(head, reason=Reason.BODY_TOO_LARGE, detail=detail)
        return None

    def _note(
        self, host: str, answer: Answer, retry_after_seconds: float | None, *, failed: bool
    ) -> None:
        failed = failed and answer.reason in HOST_FAILURES
        pause = 0.0
        if answer.reason in RETRIED and retry_after_seconds is not None:
            pause = min(retry_after_seconds, self._config.max_retry_after_seconds)
        self._slots.note(
            host,
            succeeded=not failed and answer.status is not None,
            failed=failed,
            opted_out=answer.reason is Reason.OPTED_OUT,
            pause_seconds=pause,
        )

    async def _refusal(self, response: Response, *, for_rules: bool) -> Response:
        """The response with the reason if the rules speak against its next hop."""
        target = response.final_url
        refused = addresses.url_refusal(target) or self._refused_place(target)
        if refused is not None:
            return replace(response, reason=refused[0], detail=refused[1])
        url = addresses.http_url(target)
        config = self._config
        if for_rules or url is None or not (config.respect_robots or config.respect_tdmrep):
            return response
        rules = await self._rules_of(url)
        verdict = rules.verdict(
            str(url), asked_robots=config.respect_robots, respect_opt_out=config.respect_opt_out
        )
        return after_verdict(response, verdict)

    def _refused_place(self, target: str) -> tuple[Reason, str] | None:
        """Why the host of a good URL is not visited."""
        url = addresses.http_url(target)
        assert url is not None
        host, port = addresses.host_of(url), url.port or 0
        if self._block is not None and self._block.names_url(target):
            return Reason.BLOCKED_URL, "on the block list of URLs"
        if self._block is not None and self._block.names_host(host):
            return Reason.BLOCKED_HOST, f"{host} is on the block list of hosts"
        has_contact = bool(self._config.contact)
        refusal = addresses.literal_refusal(host, port, self._allow_hosts, has_contact=has_contact)
        if refusal is not None:
            missing = isinstance(refusal, addresses.ContactMissingError)
            return Reason.CONTACT_MISSING if missing else Reason.ADDRESS_REFUSED, str(refusal)
        if self._only_hosts is not None and not addresses.is_listed(host, port, self._only_hosts):
            return Reason.ADDRESS_REFUSED, f"{host} is not among the hosts to visit"
        return None

    async def _rules_of(self, url: URL) -> SiteRules:
        origin = str(url.origin())
        known = self._cache.rules_of(origin)
        if known is not None:
            return known
        if origin not in self._loading:
            loading = asyncio.create_task(self._load_rules(origin))
            loading.add_done_callback(lambda _: self._loading.pop(origin, None))
            self._loading[origin] = loading
        # Shielded: others may wait for the same files when this URL is given up.
        return await asyncio.shield(self._loading[origin])

    async def _load_rules(self, origin: str) -> SiteRules:
        rules = SiteRules()
        if self._config.respect_robots:
            async with self.open(f"{origin}/robots.txt", for_rules=True) as answer:
                rules = self._parsed(answer)
        tdmrep = f"{origin}/.well-known/tdmrep.json"
        may_ask = rules.failure is None and robots.may_fetch(rules.robots_txt, tdmrep)
        if self._config.respect_tdmrep and may_ask:
            async with self.open(tdmrep, for_rules=True) as answer:
                stated = opt_outs.parse_tdmrep(answer.body) if answer.body else ()
                rules = replace(rules, tdmrep=stated)
        self._cache.keep_rules(origin, rules)
        return rules

    def _parsed(self, answer: Response) -> SiteRules:
        if answer.body is not None:
            text = answer.body.decode("utf-8", "replace")
            return SiteRules(robots_txt=robots.parse_robots(text, self._config.robots_agent))
        if answer.reason in site_rules.NO_ROBOTS:
            return SiteRules()
        return SiteRules(failure=answer.reason, failure_detail=answer.detail or "")

    async def _stop_loading(self) -> None:
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)


def _allow_many_sockets() -> None:
    """Hundreds of requests, and connections kept alive beside them, pass the usual 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(hard, MOST_SOCKETS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
