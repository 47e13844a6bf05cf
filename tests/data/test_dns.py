import asyncio
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver
from tests.data.fetching import resolve_result

from diagonal_data import dns
from diagonal_data.addresses import AddressRefusedError, ContactMissingError
from diagonal_data.dns import CachedDns, CheckedResolver, NameCache


class CountingDns(AbstractResolver):
    """Knows `good.test`, never answers for `hangs.test`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host == "hangs.test":
            await asyncio.Event().wait()
        if host != "good.test":
            raise OSError(None, "Domain name not found")
        return [resolve_result(host, "93.184.216.34", port, socket.AF_INET)]

    async def close(self) -> None:
        pass


def ask(names: CachedDns, host: str) -> list[str] | str:
    try:
        return [answer["host"] for answer in asyncio.run(names.resolve(host, 80))]
    except OSError as error:
        return str(error.args[1])


def test_answers_and_failures_are_remembered_for_their_time() -> None:
    now = 1000.0
    asked = CountingDns()
    names = CachedDns(asked, NameCache(clock=lambda: now), timeout_seconds=5.0)
    for _ in range(3):
        assert ask(names, "good.test") == ["93.184.216.34"]
        assert ask(names, "dead.test") == "Domain name not found"
    assert asked.asked == ["good.test", "dead.test"]
    now += dns.KEEP_FAILURES_SECONDS + 1
    ask(names, "good.test")
    ask(names, "dead.test")
    assert asked.asked == ["good.test", "dead.test", "dead.test"]
    now += dns.KEEP_SECONDS
    ask(names, "good.test")
    assert asked.asked[-1] == "good.test"


def test_a_name_server_that_does_not_answer_fails_in_time_and_is_remembered() -> None:
    asked = CountingDns()
    names = CachedDns(asked, NameCache(), timeout_seconds=0.01)
    assert ask(names, "hangs.test") == "no answer for hangs.test in 0.01 s"
    ask(names, "hangs.test")
    assert asked.asked == ["hangs.test"]


def test_a_full_cache_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "MOST_NAMES", 2)
    asked = CountingDns()
    names = CachedDns(asked, NameCache(), timeout_seconds=5.0)
    for host in ("a.test", "b.test", "c.test", "a.test"):
        ask(names, host)
    assert asked.asked == ["a.test", "b.test", "c.test", "a.test"]


def test_a_public_address_needs_a_contact() -> None:
    unnamed = CheckedResolver(CountingDns(), ("listed.test",), has_contact=False)
    with pytest.raises(ContactMissingError, match=r"--fetch\.contact"):
        asyncio.run(unnamed.resolve("good.test", 80))
    named = CheckedResolver(CountingDns(), (), has_contact=True)
    assert len(asyncio.run(named.resolve("good.test", 80))) == 1
    # Loopback stays refused for what it is, contact or not.
    with pytest.raises(AddressRefusedError, match="not a public address"):
        asyncio.run(CheckedResolver(Loopback(), ()).resolve("a.test", 80))


class Loopback(CountingDns):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [resolve_result(host, "127.0.0.1", port, socket.AF_INET)]


def test_the_system_resolver_knows_localhost_and_refuses_labels_that_are_too_long() -> None:
    async def resolve(host: str) -> list[ResolveResult]:
        names = CachedDns(AsyncResolver(), NameCache(), timeout_seconds=5.0)
        try:
            return await names.resolve(host, 80)
        finally:
            await names.close()

    assert {a["host"] for a in asyncio.run(resolve("localhost"))} <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError):  # noqa: PT011  # its texts are the libraries'
        asyncio.run(resolve(f"{'a' * 70}.test"))
