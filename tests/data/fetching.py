"""What tests of fetching share: settings, names, and one call."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiohttp.abc import AbstractResolver, ResolveResult

from diagonal_data.fetch import Fetcher, Response
from diagonal_data.fetch_config import FetchConfig

QUICK = FetchConfig(
    timeout_seconds=0.3,
    connect_timeout_seconds=0.3,
    max_bytes=1_000,
    max_redirects=3,
    retries=0,
    respect_tdmrep=False,
    contact="https://example.org/bot",
)
PATIENT = replace(QUICK, timeout_seconds=10.0, connect_timeout_seconds=10.0)
LOOPBACK = ("127.0.0.1",)


def resolve_result(name: str, address: str, port: int, family: int) -> ResolveResult:
    """One answer in the form aiohttp's connector wants."""
    return ResolveResult(
        hostname=name,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


class FakeDns(AbstractResolver):
    """Names to addresses; others do not exist."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [resolve_result(host, self.addresses[host], port, socket.AF_INET)]

    async def close(self) -> None:
        pass


def fetch_urls(urls: Sequence[str], config: FetchConfig) -> list[Response]:
    async def get_all() -> list[Response]:
        async with Fetcher(config, LOOPBACK) as fetcher:
            return list(await asyncio.gather(*map(fetcher.get, urls)))

    return asyncio.run(get_all())


def fetch(url: str, config: FetchConfig = PATIENT) -> Response:
    (response,) = fetch_urls([url], config)
    assert (response.body is None) != (response.reason is None)
    return response


def fetch_by_name(url: str, dns: Mapping[str, str], *allow_hosts: str) -> Response:
    async def get() -> Response:
        async with Fetcher(PATIENT, allow_hosts, dns=FakeDns(dns)) as fetcher:
            return await fetcher.get(url)

    return asyncio.run(get())
