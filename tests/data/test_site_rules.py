import pytest

from diagonal_data import site_rules
from diagonal_data.robots import MOST_RULES, RobotsRules, parse_robots
from diagonal_data.schema import Reason
from diagonal_data.site_rules import SiteRules, Verdict, WebCache

URL = "https://x.test/a.jpg"
DAY = 24 * 3600.0


def rules_for(robots_txt: str = "", tdmrep: tuple[tuple[bool, str], ...] = ()) -> SiteRules:
    return SiteRules(
        robots_txt=parse_robots(f"User-agent: *\n{robots_txt}", "diagonal"), tdmrep=tdmrep
    )


def verdict(
    rules: SiteRules, *, asked_robots: bool = True, respect_opt_out: bool = True
) -> Verdict:
    return rules.verdict(URL, asked_robots=asked_robots, respect_opt_out=respect_opt_out)


def test_a_site_that_says_nothing_allows() -> None:
    assert verdict(rules_for()) == Verdict(robots="allowed")
    assert verdict(SiteRules(), asked_robots=False) == Verdict(robots="not_asked")


def test_a_disallowed_url_is_not_asked_for() -> None:
    said = verdict(rules_for("Disallow: /a\nContent-Usage: train-ai=n"), respect_opt_out=False)
    assert said == Verdict(
        reason=Reason.ROBOTS_DISALLOWED, detail="robots.txt", robots="disallowed"
    )


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Reason.DNS_FAILED, Reason.DNS_FAILED),
        (Reason.CONNECT_FAILED, Reason.CONNECT_FAILED),
        (Reason.TLS_FAILED, Reason.TLS_FAILED),
        (Reason.HOST_UNAVAILABLE, Reason.HOST_UNAVAILABLE),
        (Reason.HTTP_SERVER_ERROR, Reason.ROBOTS_UNREACHABLE),
        (Reason.RATE_LIMITED, Reason.ROBOTS_UNREACHABLE),
        (Reason.BODY_INCOMPLETE, Reason.ROBOTS_UNREACHABLE),
    ],
)
def test_an_unreachable_robots_txt_disallows_and_trouble_of_the_host_keeps_its_name(
    failure: Reason, reason: Reason
) -> None:
    said = verdict(SiteRules(failure=failure, failure_detail="why"))
    assert (said.reason, said.robots) == (reason, "disallowed")
    assert said.detail == f"robots.txt: {failure} why"


@pytest.mark.parametrize(
    ("rules", "detail", "tdm_reservation", "content_usage"),
    [
        (rules_for(tdmrep=((True, "/"),)), "tdmrep.json", "1", None),
        (
            rules_for("Content-Usage: train-ai=n"),
            "robots.txt: Content-Usage",
            None,
            "train-ai=n",
        ),
        (
            rules_for("Content-Usage: train-ai=n", tdmrep=((True, "/"),)),
            "tdmrep.json",
            "1",
            "train-ai=n",
        ),
    ],
)
def test_an_opt_out_counts_if_it_is_respected_and_its_columns_are_kept_anyway(
    rules: SiteRules, detail: str, tdm_reservation: str | None, content_usage: str | None
) -> None:
    columns = Verdict(
        robots="allowed", tdm_reservation=tdm_reservation, content_usage=content_usage
    )
    assert verdict(rules, respect_opt_out=False) == columns
    respected = verdict(rules)
    assert (respected.reason, respected.detail) == (Reason.OPTED_OUT, detail)
    assert respected.tdm_reservation == tdm_reservation
    assert respected.content_usage == content_usage


def test_a_permission_is_no_opt_out_and_is_kept() -> None:
    said = verdict(rules_for("Content-Usage: train-ai=y", tdmrep=((False, "/"),)))
    assert said == Verdict(robots="allowed", tdm_reservation="0", content_usage="train-ai=y")


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (None, DAY),
        (Reason.CONNECT_FAILED, 600.0),
        (Reason.HTTP_SERVER_ERROR, 600.0),
        (Reason.HOST_OPTED_OUT, 600.0),
        (Reason.HOST_UNAVAILABLE, 60.0),
    ],
)
def test_rules_are_kept_for_their_time(failure: Reason | None, seconds: float) -> None:
    now = 5.0
    cache = WebCache(clock=lambda: now)
    rules = SiteRules(failure=failure)
    assert cache.rules_of("https://x.test") is None
    cache.keep_rules("https://x.test", rules)
    now += seconds - 1
    assert cache.rules_of("https://x.test") is rules
    assert cache.rules_of("http://x.test") is None
    now += 2
    assert cache.rules_of("https://x.test") is None


def test_names_have_the_same_clock() -> None:
    now = 5.0
    cache = WebCache(clock=lambda: now)
    cache.names.keep("x.test", 80, "no such name")
    with pytest.raises(OSError, match="no such name"):
        cache.names.get("x.test", 80)
    now += DAY
    assert cache.names.get("x.test", 80) is None


def test_a_cache_of_too_many_origins_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_rules, "MOST_ORIGINS", 2)
    cache = WebCache()
    for origin in ("a", "b", "b", "c"):
        cache.keep_rules(origin, SiteRules())
    assert [cache.rules_of(origin) is None for origin in "abc"] == [True, True, False]


def test_a_cache_of_too_long_rules_starts_over() -> None:
    cache = WebCache()
    patterns = tuple((False, f"/{number:05d}{'x' * 200}") for number in range(MOST_RULES))
    rules = SiteRules(robots_txt=RobotsRules(rules=patterns), tdmrep=patterns)
    room = site_rules.MOST_PATTERN_BYTES // rules.pattern_bytes
    assert 2 * MOST_RULES * 206 < rules.pattern_bytes < site_rules.MOST_PATTERN_BYTES
    for number in range(room):
        cache.keep_rules(str(number), rules)
        # The same again takes no more.
        cache.keep_rules(str(number), rules)
    assert cache.rules_of("0") is rules
    cache.keep_rules("one more", rules)
    assert cache.rules_of("0") is None
    assert cache.rules_of("one more") is rules
    cache.keep_rules("and another", rules)
    assert cache.rules_of("one more") is rules
