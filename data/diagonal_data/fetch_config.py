"""Configuration of the network: manners, bounds, and what must never be fetched."""

import re
from dataclasses import dataclass, replace
from typing import Self

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """How the network is used: politely and safely by default."""

    contact: str = ""
    """Page or address where site owners reach you, sent in the user agent. Without one, nothing but
    loopback and --allow-hosts is connected to."""
    user_agent: str = "diagonal/0.1"
    """Product and version sent with every request; the contact is added."""
    robots_agent: str = "diagonal"
    """Product token looked up in robots.txt (RFC 9309 §2.2.1): letters, `_` and `-`."""
    respect_robots: bool = True
    """Ask robots.txt of every host first and leave out what it disallows."""
    respect_opt_out: bool = True
    """Leave out images that are served with an opt-out: X-Robots-Tag (noai, noimageai, noindex, …),
    `tdm-reservation: 1`, `Content-Usage: train-ai=n`, or a data-mining prohibition in the file."""
    respect_tdmrep: bool = True
    """Ask every host for /.well-known/tdmrep.json and leave out what it reserves."""
    connect_timeout_seconds: float = 5.0
    """Longest wait for a connection."""
    first_byte_timeout_seconds: float = 10.0
    """Longest wait for the head of an answer, connection included."""
    timeout_seconds: float = 20.0
    """Longest time for one attempt at a URL, redirects and body included."""
    min_bytes_per_second: int = 1024
    """Slowest body, from its fifth second on; a slower one ends as too_slow."""
    retries: int = 2
    """Further attempts after no connection, a timeout, 429 or 5xx."""
    retry_seconds: float = 1.0
    """Wait before the second attempt; doubled each time, and jittered by half. Retry-After wins."""
    max_retry_after_seconds: float = 60.0
    """Longest Retry-After that is waited for; after a longer one the URL is given up."""
    max_bytes: int = 20 * 2**20
    """Largest body read; a longer one ends as body_too_large."""
    max_redirects: int = 5
    """Redirects followed; each hop is checked like a first request."""
    max_in_flight: int = 256
    """Requests in flight in one worker."""
    max_per_host: int = 4
    """Requests in flight to one host, over all workers of the run."""
    max_per_second: float = 5.0
    """Requests begun per second to one host, over all workers; 0 is no limit. Loopback has none."""
    fast_hosts: tuple[str, ...] = ()
    """HOST or *.DOMAIN that stand more, such as content delivery networks."""
    fast_max_per_host: int = 32
    """--fetch.max-per-host of fast hosts."""
    fast_max_per_second: float = 100.0
    """--fetch.max-per-second of fast hosts; 0 is no limit."""
    host_failures: int = 50
    """Failures in a row (no connection, timeout, 5xx) after which a host is left alone for a
    minute; its URLs meanwhile end as host_unavailable. 0 is never."""
    host_opt_outs: int = 10
    """Opt-outs after which a host is not asked again, in this run or a later one. 0 is never."""

    def __post_init__(self) -> None:
        require(
            re.fullmatch("[A-Za-z_-]+", self.robots_agent) is not None,
            "--fetch.robots-agent must be letters, '_' and '-', as robots.txt knows no other names "
            f"(RFC 9309 §2.2.1), got {self.robots_agent!r}; versions go into --fetch.user-agent",
        )
        for name in ("contact", "user_agent"):
            require(
                getattr(self, name).isprintable(),
                f"--fetch.{name.replace('_', '-')} must be one line of printable text",
            )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            flag = name.replace("_", "-")
            require(value >= least, f"--fetch.{flag} must be at least {least}, got {value}")
        for name in _ABOVE_ZERO:
            flag = name.replace("_", "-")
            require(getattr(self, name) > 0, f"--fetch.{flag} must be above 0")

    def shared_by(self, commands: int) -> Self:
        """What each of so many commands may do that know nothing of each other.

        Together they keep the rates. Of requests in flight one each is the least.
        """
        return replace(
            self,
            max_per_host=max(1, self.max_per_host // commands),
            max_per_second=self.max_per_second / commands,
            fast_max_per_host=max(1, self.fast_max_per_host // commands),
            fast_max_per_second=self.fast_max_per_second / commands,
        )

    @property
    def full_user_agent(self) -> str:
        """`diagonal/0.1 (+https://example.org/bot)`."""
        return f"{self.user_agent} (+{self.contact})" if self.contact else self.user_agent


_LEAST = {
    "max_per_host": 1,
    "fast_max_per_host": 1,
    "max_in_flight": 1,
    "max_bytes": 1,
    "max_redirects": 0,
    "retries": 0,
    "retry_seconds": 0,
    "max_retry_after_seconds": 0,
    "min_bytes_per_second": 0,
    "max_per_second": 0,
    "fast_max_per_second": 0,
    "host_failures": 0,
    "host_opt_outs": 0,
}
_ABOVE_ZERO = ("timeout_seconds", "connect_timeout_seconds", "first_byte_timeout_seconds")


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Text files, one entry a line (`#` begins a comment), local or any fsspec URL; empty: none."""

    urls: str = ""
    """URLs that are not asked for; compared in canonical form."""
    hosts: str = ""
    """Hosts that are not asked; `example.org` stands for its subdomains too."""
    md5: str = ""
    """MD5 of bodies, 32 hex digits each; a body that matches is never written."""
    sha256: str = ""
    """SHA-256 of bodies, 64 hex digits each."""
    phash: str = ""
    """64-bit perceptual hashes as in the row table, 16 hex digits each."""
    phash_max_hamming: int = 4
    """Bits in which a perceptual hash may differ from a listed one."""

    def __post_init__(self) -> None:
        require(
            0 <= self.phash_max_hamming <= 16,
            f"--block.phash-max-hamming must be 0 to 16, got {self.phash_max_hamming}",
        )
