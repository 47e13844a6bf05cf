"""Which addresses may be connected to, enforced on the addresses the connector gets.

A name may resolve to one address when it is checked and to another when it is used (DNS rebinding),
so names are not checked at all: `CheckedResolver` stands between DNS and aiohttp's connector, and
what it hands over is what is connected to. Hosts that are written as an address never reach a
resolver; `literal_refusal` judges them before a request is made. `connect` is the same in one
blocking call, for clients that are not aiohttp.

Without a contact in the user agent no public address is connected to either: site owners must be
able to reach those who fetch from them.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from yarl import URL

from diagonal_data.schema import Reason, canonical_url

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


MAX_URL_CHARS = 8_000
"""What RFC 9110 §4.1 recommends to support; longer ones are data in disguise."""
NO_CONTACT = "a public address is asked only by those who give a contact (--fetch.contact)"


class AddressRefusedError(OSError):
    """A host with refused addresses only; an OSError, as aiohttp and urllib expect."""


class ContactMissingError(AddressRefusedError):
    """A public address, and the run tells nobody whom to turn to."""


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


@lru_cache(maxsize=2048)
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


def host_of(url: URL) -> str:
    """The name by which limits, block lists and opt-outs know the URL's host.

    In lower case, an international name as it stands in DNS, no dot at the end.
    """
    return (url.raw_host or "").lower().rstrip(".")


def url_refusal(text: str) -> tuple[Reason, str] | None:
    """Why a string is not asked for as a URL, before anything is known of its host."""
    if len(text) > MAX_URL_CHARS:
        return Reason.URL_TOO_LONG, f"{len(text)} characters, more than {MAX_URL_CHARS}"
    try:
        parts = urlsplit(text.strip())
        if parts.scheme and parts.scheme not in ("http", "https"):
            return Reason.SCHEME_REFUSED, f"no http(s) URL: {text[:200]}"
        if parts.username is not None:
            # Somebody's, and not meant for us; they are not written down here either.
            return Reason.URL_HAS_CREDENTIALS, f"user name in a URL of {parts.hostname}"
    except ValueError as error:
        return Reason.BAD_URL, f"{error}: {text[:200]}"
    return None if http_url(text) else (Reason.BAD_URL, f"no http(s) URL: {text[:200]}")


def is_listed(host: str, port: int, hosts: Collection[str]) -> bool:
    """Whether HOST or HOST:PORT is in `hosts`; an IPv6 host with a port stands in brackets."""
    bracketed = f"[{host}]" if ":" in host else host
    names = {host.lower(), bracketed.lower(), f"{bracketed}:{port}".lower()}
    return not names.isdisjoint(_lower(tuple(hosts)))


@lru_cache(maxsize=16)
def _lower(entries: tuple[str, ...]) -> frozenset[str]:
    """Hundreds of hosts may be listed, and every hop of every URL asks."""
    return frozenset(entry.lower() for entry in entries)


def literal_refusal(
    host: str, port: int, allow_hosts: Collection[str], *, has_contact: bool = True
) -> AddressRefusedError | None:
    """Why a host that is written as an address is refused; None for names and for good addresses.

    Only the usual spellings count as addresses. The others that C libraries accept (2130706433,
    0x7f.1, 127.1) are refused whatever they name: honest pages have no use for them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _is_odd_address(host):
            return AddressRefusedError(f"{host} is an unusual spelling of an address")
        return None
    if is_listed(host, port, allow_hosts):
        return None
    if not is_public(address):
        return AddressRefusedError(f"{host} is not a public address")
    return None if has_contact else ContactMissingError(f"{host}: {NO_CONTACT}")


def _is_odd_address(host: str) -> bool:
    bare = host.rstrip(".")
    if bare.replace(".", "").isdigit():
        return True
    try:
        socket.inet_aton(bare)
    except (OSError, UnicodeError):
        return False
    return True


def connect(
    host: str,
    port: int,
    timeout_seconds: float,
    *,
    allow_hosts: Collection[str],
    has_contact: bool = True,
) -> socket.socket:
    """A TCP connection to the first of the host's addresses that is not refused and answers.

    Raises:
        AddressRefusedError: all addresses are refused; nothing was sent to them.
        OSError: there is no such name, or no address answers in time.
    """
    refusal = literal_refusal(host, port, allow_hosts, has_contact=has_contact)
    if refusal is not None:
        raise refusal
    answers = _ask_dns(host, port)
    found = [str(address[0]) for _, address in answers]
    good = admitted(host, port, found, allow_hosts, has_contact=has_contact)
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


def admitted(
    host: str,
    port: int,
    found: Sequence[str],
    allow_hosts: Collection[str],
    *,
    has_contact: bool = True,
) -> Collection[str]:
    """Those of the host's addresses that may be connected to.

    Raises:
        AddressRefusedError: there are addresses, and all of them are refused.
    """
    if is_listed(host, port, allow_hosts):
        return found
    good = [address for address in found if is_public(ipaddress.ip_address(address))]
    if found and not good:
        raise AddressRefusedError(f"{host} resolves to {', '.join(found)}, not a public address")
    if good and not has_contact:
        raise ContactMissingError(f"{host}: {NO_CONTACT}")
    return good


def _ask_dns(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # A label over 63 characters fails in the IDNA codec, before DNS is asked.
        raise socket.gaierror(socket.EAI_NONAME, f"no host name: {error}") from error
    return [(family, address) for family, _, _, _, address in answers]
