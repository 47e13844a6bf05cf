"""Names to addresses for aiohttp: asynchronous, cached, and checked.

    connector → CheckedResolver → CachedDns → c-ares

Web lists name hundreds of thousands of hosts, a good part of them dead: lookups must not stand in
line for threads, and the same dead name must not be asked for again and again.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

from diagonal_data import addresses

KEEP_SECONDS = 300.0
KEEP_FAILURES_SECONDS = 60.0
MOST_NAMES = 200_000
"""A name takes about half a kilobyte; beyond this the cache starts over."""

Answers = list[ResolveResult]


class NameCache:
    """What is known of names, for as long as it holds; outlives the resolvers that share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, Answers | str]] = {}

    def get(self, host: str, port: int) -> Answers | None:
        """The host's addresses, or None if they must be asked for.

        Raises:
            OSError: they could not be had a short while ago.
        """
        until, known = self._known.get((host, port), (0.0, ""))
        if self._clock() > until:
            return None
        if isinstance(known, str):
            raise OSError(None, known)
        return known

    def keep(self, host: str, port: int, known: Answers | str) -> None:
        """Remember addresses, or the text of a failure."""
        if len(self._known) >= MOST_NAMES:
            self._known.clear()
        seconds = KEEP_FAILURES_SECONDS if isinstance(known, str) else KEEP_SECONDS
        self._known[host, port] = (self._clock() + seconds, known)


class CachedDns(AbstractResolver):
    """A resolver with a memory and a deadline; failures are remembered too."""

    def __init__(self, dns: AbstractResolver, cache: NameCache, timeout_seconds: float) -> None:
        self._dns = dns
        self._cache = cache
        self._timeout_seconds = timeout_seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Answers:
        """The host's addresses, unchecked.

        Raises:
            OSError: there are none, or not in time.
        """
        known = self._cache.get(host, port)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answers = await self._dns.resolve(host, port, family)
        except TimeoutError:
            trouble = f"no answer for {host} in {self._timeout_seconds} s"
        except (OSError, UnicodeError) as error:
            # A label over 63 characters fails in the IDNA codec, before DNS is asked.
            trouble = getattr(error, "strerror", None) or str(error)
        else:
            self._cache.keep(host, port, answers)
            return answers
        self._cache.keep(host, port, trouble)
        raise OSError(None, trouble)

    async def close(self) -> None:
        """Close the resolver behind; the cache stays."""
        await self._dns.close()


class CheckedResolver(AbstractResolver):
    """Answers of `dns` without the addresses that may not be connected to."""

    def __init__(
        self, dns: AbstractResolver, allow_hosts: Sequence[str], *, has_contact: bool = True
    ) -> None:
        self._dns = dns
        self._allow_hosts = tuple(allow_hosts)
        self._has_contact = has_contact

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Answers:
        """The host's addresses that may be connected to.

        Raises:
            AddressRefusedError: there are addresses, and all of them are refused.
        """
        answers = await self._dns.resolve(host, port, family)
        found = [answer["host"] for answer in answers]
        good = addresses.admitted(
            host, port, found, self._allow_hosts, has_contact=self._has_contact
        )
        return [answer for answer in answers if answer["host"] in good]

    async def close(self) -> None:
        """Close the resolver behind."""
        await self._dns.close()
