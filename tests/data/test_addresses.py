import asyncio
import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.data.fetching import resolve_result

from diagonal_data.addresses import (
    AddressRefusedError,
    connect,
    http_url,
    is_listed,
    is_public,
    literal_refusal,
)
from diagonal_data.dns import CheckedResolver


class FakeDns(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [resolve_result(host, address, port, family) for address in self.addresses]

    async def close(self) -> None:
        pass


def resolved(dns: AbstractResolver, allow_hosts: tuple[str, ...] = ()) -> list[str]:
    answers = asyncio.run(CheckedResolver(dns, allow_hosts).resolve("pictures.test", 8080))
    return [answer["host"] for answer in answers]


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "2606:2800:220:1:248:1893:25c8:1946",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
    ],
)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "240.0.0.1", "198.18.0.1", "192.88.99.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.5", "::127.0.0.1", "2002:7f00:1::", "2002:a00:5::"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:0:1::1"),
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/"),
        *("http://017700000001/", "http://0x7f000001/", "http://127.0.0.1./", "http://0/"),
        *(
            "http://127。0。0。1/",
            "http://１２７.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
        ),
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_no_spelling_of_loopback_slips_through(url: str) -> None:
    address = http_url(url)
    assert address is not None
    assert literal_refusal(address.raw_host or "", 80, allow_hosts=())


def test_an_odd_spelling_is_refused_even_if_its_host_is_allowed() -> None:
    assert literal_refusal("2130706433", 80, allow_hosts=("127.0.0.1", "2130706433"))


def test_names_are_left_to_the_resolver() -> None:
    assert literal_refusal("pictures.test", 80, allow_hosts=()) is None


def test_an_allowed_host_may_be_local() -> None:
    assert literal_refusal("127.0.0.1", 8000, allow_hosts=("127.0.0.1:8000",)) is None
    assert literal_refusal("127.0.0.1", 8001, allow_hosts=("127.0.0.1:8000",))


@pytest.mark.parametrize(
    ("host", "entry", "listed"),
    [
        ("Example.org", "example.org", True),
        ("example.org", "example.org:8000", True),
        ("example.org", "example.org:80", False),
        ("::1", "::1", True),
        ("::1", "[::1]:8000", True),
        ("::1", "::1:8000", False),
        ("evil-example.org", "example.org", False),
    ],
)
def test_hosts_are_listed_by_name_or_by_name_and_port(host: str, entry: str, listed: bool) -> None:
    assert is_listed(host, 8000, (entry,)) is listed


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.1", "169.254.169.254", "::1"])
def test_a_name_that_resolves_to_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError, match=address):
        resolved(FakeDns(address))


def test_only_the_public_ones_of_several_addresses_reach_the_connector() -> None:
    assert resolved(FakeDns("10.0.0.5", "93.184.216.34")) == ["93.184.216.34"]


def test_an_allowed_name_may_resolve_to_a_private_address() -> None:
    assert resolved(FakeDns("10.0.0.5"), ("pictures.test:8080",)) == ["10.0.0.5"]
    with pytest.raises(AddressRefusedError):
        resolved(FakeDns("10.0.0.5"), ("pictures.test:80",))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "::1", "127.1"])
def test_a_blocking_connection_to_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(AddressRefusedError, match=host):
        connect(host, 9, 1.0, allow_hosts=())
    with pytest.raises(AddressRefusedError, match="unusual spelling"):
        connect("2130706433", 9, 1.0, allow_hosts=("2130706433",))


def test_a_blocking_connection_goes_to_an_allowed_host_and_to_no_other_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with connect("localhost", port, 5.0, allow_hosts=(f"localhost:{port}",)) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)
            assert connection.gettimeout() == 5.0
        with pytest.raises(AddressRefusedError):
            connect("localhost", port, 5.0, allow_hosts=(f"localhost:{port + 1}",))
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", port, 5.0, allow_hosts=("127.0.0.1",))
    with pytest.raises(socket.gaierror):
        connect(f"{'a' * 70}.test", 80, 5.0, allow_hosts=())


@pytest.mark.parametrize(
    ("text", "asked_for"),
    [
        ("http://X.test:80/a%2fb+c?d=%7e#part", "http://x.test/a%2fb+c?d=%7e"),
        ("https://user:secret@x.test/", "https://x.test/"),
        ("http://x.test/grün bild", "http://x.test/gr%C3%BCn%20bild"),
        ("http://bücher.test/", "http://xn--bcher-kva.test/"),
    ],
)
def test_urls_are_asked_for_to_the_letter_or_quoted(text: str, asked_for: str) -> None:
    assert str(http_url(text)) == asked_for


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "ftp://x.test/", "file:///etc/passwd", "javascript:alert(1)", "http://"),
        *("http:///a", "//x.test/a", "http://x.test:99999/", "http://[::1", "data:image/png,x"),
    ],
)
def test_anything_but_http_urls_is_none(text: str) -> None:
    assert http_url(text) is None
