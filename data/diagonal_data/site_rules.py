"""What a site says about being read by machines: its robots.txt and its tdmrep.json, by origin.

robots.txt     missing or 4xx: everything may be fetched; unreachable or 5xx: nothing
               (RFC 9309 §2.3.1); read up to 500 KiB; kept for 24 hours (§2.4)
tdmrep.json    only what is there and can be read counts
"""

import time
from dataclasses import dataclass

from diagonal_data import opt_outs, robots
from diagonal_data.dns import NameCache
from diagonal_data.schema import Reason

KEEP_SECONDS = 24 * 3600.0
KEEP_FAILURES_SECONDS = 600.0
MOST_ORIGINS = 200_000
# A robots.txt that cannot be had for these reasons says that the page cannot be had either, which
# tells more than "unreachable".
HOST_TROUBLES = frozenset(
    {
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
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

    def __init__(self) -> None:
        self.names = NameCache()
        self._rules: dict[str, tuple[float, SiteRules]] = {}

    def rules_of(self, origin: str) -> SiteRules | None:
        """The origin's rules if they are known and not too old."""
        until, rules = self._rules.get(origin, (0.0, None))
        return rules if time.monotonic() < until else None

    def keep_rules(self, origin: str, rules: SiteRules) -> None:
        """Remember an origin's rules: a day, or ten minutes if they could not be had."""
        if len(self._rules) >= MOST_ORIGINS:
            self._rules.clear()
        seconds = KEEP_SECONDS if rules.failure is None else KEEP_FAILURES_SECONDS
        self._rules[origin] = (time.monotonic() + seconds, rules)
