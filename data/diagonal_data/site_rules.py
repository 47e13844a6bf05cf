"""What a site says about being read by machines: its robots.txt and its tdmrep.json, by origin.

robots.txt     missing or 4xx: everything may be fetched; unreachable, 5xx or 429: nothing
               (RFC 9309 §2.3.1; 429 is a 4xx, but who asks for fewer requests shall not get
               more); read up to 500 KiB; kept for 24 hours (§2.4)
tdmrep.json    only what is there and can be read counts
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from diagonal_data import opt_outs, robots
from diagonal_data.dns import NameCache
from diagonal_data.schema import Reason

KEEP_SECONDS = 24 * 3600.0
KEEP_FAILURES_SECONDS = 600.0
KEEP_UNAVAILABLE_SECONDS = 60.0
"""For a host that our own ledger has closed: it says itself until when."""
MOST_ORIGINS = 200_000
MOST_PATTERN_BYTES = 64 * 2**20
"""Beyond either the cache starts over."""
PATTERN_BYTES = 120
"""What a pattern takes besides its characters: a string, a pair and its place."""
# A robots.txt that cannot be had for these reasons says that the page cannot be had either, which
# tells more than "unreachable".
HOST_TROUBLES = frozenset(
    {
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
        Reason.TLS_FAILED,
        Reason.TIMED_OUT,
        Reason.TOO_SLOW,
        Reason.ADDRESS_REFUSED,
        Reason.CONTACT_MISSING,
        Reason.HOST_UNAVAILABLE,
        Reason.HOST_OPTED_OUT,
    }
)
# A robots.txt that is missing (RFC 9309 §2.3.1.3), redirected too often (§2.3.1.2) or empty.
NO_ROBOTS = frozenset(
    {
        Reason.NOT_FOUND,
        Reason.FORBIDDEN,
        Reason.HTTP_CLIENT_ERROR,
        Reason.TOO_MANY_REDIRECTS,
        Reason.EMPTY_BODY,
    }
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the site's files say of one URL."""

    reason: Reason | None = None
    detail: str | None = None
    robots: str = "not_asked"
    tdm_reservation: str | None = None
    content_usage: str | None = None


@dataclass(frozen=True, kw_only=True)
class SiteRules:
    """The rules of one origin, or why they could not be had."""

    robots_txt: robots.RobotsRules = robots.ALLOW_ALL
    tdmrep: robots.Patterns = ()
    failure: Reason | None = None
    failure_detail: str = ""

    @property
    def pattern_bytes(self) -> int:
        """About what the patterns take in memory."""
        known = (self.robots_txt.rules, self.robots_txt.no_training, self.tdmrep)
        return sum(PATTERN_BYTES + len(pattern) for rules in known for _, pattern in rules)

    @property
    def keep_seconds(self) -> float:
        """How long they hold."""
        if self.failure is None:
            return KEEP_SECONDS
        if self.failure == Reason.HOST_UNAVAILABLE:
            return KEEP_UNAVAILABLE_SECONDS
        return KEEP_FAILURES_SECONDS

    def verdict(self, url: str, *, asked_robots: bool, respect_opt_out: bool) -> Verdict:
        """Whether the URL may be asked for, and what stays in its row."""
        if self.failure is not None:
            is_host_trouble = self.failure in HOST_TROUBLES
            reason = self.failure if is_host_trouble else Reason.ROBOTS_UNREACHABLE
            detail = f"robots.txt: {self.failure} {self.failure_detail}".strip()
            return Verdict(reason=reason, detail=detail, robots="disallowed")
        if not robots.may_fetch(self.robots_txt, url):
            reason = Reason.ROBOTS_DISALLOWED
            return Verdict(reason=reason, detail="robots.txt", robots="disallowed")
        reserved = opt_outs.reservation_at(self.tdmrep, url)
        no_training = robots.longest_match(self.robots_txt.no_training, url)
        said = "robots.txt: Content-Usage" if no_training else None
        said = "tdmrep.json" if reserved == "1" else said
        return Verdict(
            reason=Reason.OPTED_OUT if said and respect_opt_out else None,
            detail=said if respect_opt_out else None,
            robots="allowed" if asked_robots else "not_asked",
            tdm_reservation=reserved,
            content_usage=None if no_training is None else f"train-ai={'yn'[no_training]}",
        )


class WebCache:
    """Names and site rules, for all the fetchers of one process and run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.names = NameCache(clock)
        self._clock = clock
        self._rules: dict[str, tuple[float, SiteRules]] = {}
        self._pattern_bytes = 0

    def rules_of(self, origin: str) -> SiteRules | None:
        """The origin's rules if they are known and not too old."""
        until, rules = self._rules.get(origin, (0.0, None))
        return rules if rules is not None and self._clock() < until else None

    def keep_rules(self, origin: str, rules: SiteRules) -> None:
        """Remember an origin's rules: a day, or minutes if they could not be had."""
        _, old = self._rules.pop(origin, (0.0, SiteRules()))
        self._pattern_bytes += rules.pattern_bytes - old.pattern_bytes
        if len(self._rules) >= MOST_ORIGINS or self._pattern_bytes > MOST_PATTERN_BYTES:
            self._rules.clear()
            self._pattern_bytes = rules.pattern_bytes
        self._rules[origin] = (self._clock() + rules.keep_seconds, rules)
