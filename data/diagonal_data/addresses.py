"""Which addresses may be connected to, enforced on the addresses the connector gets.

A name may resolve to one address when it is checked and to another when it is used (DNS rebinding),
so names are not checked at all: `CheckedResolver` stands between DNS and aiohttp's connector, and
what it hands over is what is connected to. Hosts that are written as an address never reach a
resolver; `literal_refusal` judges them before a request is made. `connect` is the same in one
blocking call, for clients that are not aiohttp.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from diagonal_data.schema import canonical_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Refused beyond what Python's `is_private` and its kin know in every supported release.
REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); Alibaba's metadata is 100.100.100.200
        "168.63.129.16/32",  # Azure's host agent, on a public address
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890); Oracle's metadata is 192.0.0.192
        "192.88.99.0/24",  # 6to4 relay anycast (RFC 7526)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "64:ff9b:1::/48",  # local-use NAT64 (RFC 8215)
        "fec0::/10",  # site-local, deprecated by RFC 3879 and still routed by some
    )
)
NAT64_PREFIX = ipaddress.IPv6Network("64:ff9b::/96")
"""Well-known NAT64 prefix (RFC 6052): the last 32 bits are the IPv4 address that is reached."""
DNS_THREADS = 32


class AddressRefusedError(OSError):
    """A host with refused addresses only; an OSError, as aiohttp and urllib expect."""


def is_public(address: Address) -> bool:
    """Whether the address is an ordinary host on the internet.

    Addresses that carry an IPv4 address (mapped, 6to4, NAT64) are judged by the one they carry.
    """
    carried = _carried_ipv4(address)
    if carried is not None:
        return is_public(carried)
    in_refused = any(
        address.version == network.version and address in network for network in REFUSED_NETWORKS
    )
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    local = address.is_private or address.is_loopback or address.is_link_local
    return not (in_refused or special or local)


def _carried_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64_PREFIX:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def http_url(text: str) -> URL | None:
    """The URL as it will be asked for, or None if it is no http(s) URL.

    Printable ASCII is kept to the letter, as signed URLs need; anything else is quoted.
    """
    spelled = canonical_url(text)
    is_plain = spelled.isascii() and spelled.isprintable() and " " not in spelled
    try:
        url = URL(spelled, encoded=is_plain)
        return url if url.scheme in ("http", "https") and url.raw_host and url.port else None
    except ValueError:
        return None


def is_listed(host: str, port: int, hosts: Collection[str]) -> bool:
    """Whether HOST or HOST:PORT is in `hosts`; an IPv6 host with a port stands in brackets."""
    bracketed = f"[{host}]" if ":" in host else host
    return any(
        entry.lower() in (host.lower(), bracketed.lower(), f"{bracketed}:{port}".lower())
        for entry in hosts
    )


def literal_refusal(host: str, port: int, allow_hosts: Collection[str]) -> str | None:
    """Why a host that is written as an address is refused; None for names and for good addresses.

    Only the usual spellings count as addresses. The others that C libraries accept (2130706433,
    0x7f.1, 127.1) are refused whatever they name: honest pages have no use for them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host} is an unusual spelling of an address" if _is_odd_address(host) else None
    if is_listed(host, port, allow_hosts) or is_public(address):
        return None
    return f"{host} is not a public address"


def _is_odd_address(host: str) -> bool:
    bare = host.rstrip(".")
    if bare.replace(".", "").isdigit():
        return True
    try:
        socket.inet_aton(bare)
    except (OSError, UnicodeError):
        return False
    return True


class SystemDns(AbstractResolver):
    """getaddrinfo in threads of its own.

    asyncio's default threads are few (cores + 4) and asyncio.run waits for them at the end, so
    that a handful of dead name servers would hold up every other lookup and the end of a unit.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses, unchecked."""
        ask = partial(_ask_dns, host, port, family)
        answers = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [resolve_result(host, str(address[0]), port, family) for family, address in answers]

    async def close(self) -> None:
        """Let the threads end; lookups under way are waited for by the process's exit, not here."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Answers of `dns` without the addresses that may not be connected to."""

    def __init__(self, dns: AbstractResolver, allow_hosts: Sequence[str]) -> None:
        self._dns = dns
        self._allow_hosts = tuple(allow_hosts)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses that may be connected to.

        Raises:
            AddressRefusedError: there are addresses, and all of them are refused.
        """
        answers = await self._dns.resolve(host, port, family)
        good = _admitted(host, port, [answer["host"] for answer in answers], self._allow_hosts)
        return [answer for answer in answers if answer["host"] in good]

    async def close(self) -> None:
        """Close the resolver behind."""
        await self._dns.close()


def connect(
    host: str, port: int, allow_hosts: Collection[str], timeout_seconds: float
) -> socket.socket:
    """A TCP connection to the first of the host's addresses that is not refused and answers.

    Raises:
        AddressRefusedError: all addresses are refused; nothing was sent to them.
        OSError: there is no such name, or no address answers in time.
    """
    refusal = literal_refusal(host, port, allow_hosts)
    if refusal:
        raise AddressRefusedError(refusal)
    answers = _ask_dns(host, port)
    good = _admitted(host, port, [str(address[0]) for _, address in answers], allow_hosts)
    trouble = OSError(f"{host} has no address")
    for family, address in answers:
        if address[0] not in good:
            continue
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_seconds)
            connection.connect(address)
        except OSError as error:
            connection.close()
            trouble = error
        else:
            return connection
    raise trouble


def _admitted(
    host: str, port: int, found: Sequence[str], allow_hosts: Collection[str]
) -> Collection[str]:
    """Those of the host's addresses that may be connected to; refused if there are only others."""
    if is_listed(host, port, allow_hosts):
        return found
    good = [address for address in found if is_public(ipaddress.ip_address(address))]
    if found and not good:
        raise AddressRefusedError(f"{host} resolves to {', '.join(found)}, not a public address")
    return good


def _ask_dns(
    host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    try:
        answers = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except UnicodeError as error:
        # A label over 63 characters fails in the IDNA codec, before DNS is asked.
        raise socket.gaierror(socket.EAI_NONAME, f"no host name: {error}") from error
    return [(family, address) for family, _, _, _, address in answers]


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
