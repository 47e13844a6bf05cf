import pytest

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.robots import (
    MOST_RULES,
    ROBOTS_MAX_BYTES,
    by_precedence,
    is_opt_out,
    longest_match,
    may_fetch,
    opts_out,
    parse_robots,
)

# RFC 9309 §5.1, "Simple Example".
RFC_EXAMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


def allowed(text: str, path: str, agent: str = "diagonal") -> bool:
    return may_fetch(parse_robots(text, agent), f"https://x.test{path}")


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("anybot", "/publications/a", True),
        ("anybot", "/example/", False),
        ("anybot", "/other/a.gif", False),
        ("anybot", "/other/a.gif?size=1", True),
        ("foobot", "/", False),
        ("FooBot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/example/other.gif", False),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("barbot", "/example/a.gif", True),
        ("quxbot", "/example/page.html", True),
    ],
)
def test_the_example_of_the_rfc(agent: str, path: str, expected: bool) -> None:
    assert allowed(RFC_EXAMPLE, path, agent) is expected


def test_the_longest_match_wins_as_in_the_rfc() -> None:
    # RFC 9309 §5.2, "Longest Match".
    text = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"
    assert allowed(text, "/example/page/", "foobot")
    assert not allowed(text, "/example/page/disallowed.gif", "foobot")


def test_allow_wins_a_tie() -> None:
    assert allowed("User-agent: *\nDisallow: /a\nAllow: /a", "/a")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        # RFC 9309 §2.2.2, the table of percent-encodings.
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz", True),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https://foo.bar", True),
        ("/foo/bar/\u30c4", "/foo/bar/%E3%83%84", True),
        ("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84", True),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz", True),
        # §2.2.3, special characters.
        ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),
        ("/path/file-with-a-%2A.html", "/path/file-with-a-b.html", False),
        ("/path/foo-%24", "/path/foo-$", True),
        ("/this/*/exactly", "/this/path/exactly", True),
        ("/this/*/exactly", "/this/path/nearly", False),
        ("/this/path/exactly$", "/this/path/exactly", True),
        ("/this/path/exactly$", "/this/path/exactly/not", False),
        ("/a*b$", "/a-b-b", True),
        ("/a*ab$", "/ab", False),
        ("/*", "/anything", True),
        ("/fish", "/Fish", False),
        ("/fish", "/fishheads/yummy", True),
        ("*.gif$", "/a/b.gif", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert allowed(f"User-agent: *\nDisallow: {pattern}", path) is not matches


def test_a_hostile_pattern_takes_no_time() -> None:
    text = f"User-agent: *\nDisallow: /{'a*' * 5_000}b$"
    assert allowed(text, "/" + "a" * 5_000)


@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_rule_comes_first_and_true_wins_a_tie(order: int) -> None:
    rules = [(False, "/a"), (True, "/a"), (True, "/ab*"), (False, "/ab***")][::order]
    sorted_rules = by_precedence(rules)
    assert sorted_rules == ((True, "/ab*"), (False, "/ab*"), (True, "/a"), (False, "/a"))
    assert longest_match(sorted_rules, "http://x.test/abc") is True
    assert longest_match(sorted_rules, "http://x.test/b") is None


def test_the_first_rules_of_a_long_list_are_kept() -> None:
    first = "".join(f"Disallow: /{number}/\n" for number in range(MOST_RULES))
    text = f"User-agent: *\n{first}Disallow: /more\nContent-Usage: train-ai=n\n"
    rules = parse_robots(text, "diagonal")
    assert len(rules.rules) == MOST_RULES
    assert not may_fetch(rules, f"http://x.test/{MOST_RULES - 1}/")
    assert may_fetch(rules, "http://x.test/more")
    assert longest_match(rules.no_training, "http://x.test/more") is True


def test_rules_for_others_take_no_place() -> None:
    others = "User-agent: *\n" + "Disallow: /a\n" * MOST_RULES
    assert not allowed(f"{others}User-agent: diagonal\nDisallow: /b", "/b")


# Seconds where each name costs a copy of those before; now 30 ms.
@pytest.mark.timeout(2)
def test_a_list_of_robots_takes_time_by_its_length_only() -> None:
    names = (f"{number:b}".replace("0", "a").replace("1", "b") for number in range(30_000))
    text = "".join(f"user-agent:{name}\n" for name in names)
    assert allowed(text[:ROBOTS_MAX_BYTES], "/a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("<html>no robots here</html>", True),
        ("Disallow: /", True),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: other\nDisallow: /", True),
        ("User-agent: *\nDisallow: /", False),
        ("\ufeffUSER-AGENT : * # all\r\nDISALLOW : / # of it", False),
        ("User-agent: *\rDisallow: /", False),
        ("User-agent: Diagonal/2.0 (x)\nDisallow: /", False),
        ("User-agent: diagonalbot\nDisallow: /", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: diagonal\nAllow: /", True),
        ("User-agent: diagonal\nUser-agent: x\nSitemap: /s\n\nDisallow: /", False),
        ("User-agent: diagonal\nDisallow: /x\nUser-agent: y\nDisallow: /", True),
        (
            "User-agent: diagonal\nAllow: /b\nUser-agent: *\nUser-agent: Diagonal\nDisallow: /",
            False,
        ),
    ],
)
def test_groups(text: str, expected: bool) -> None:
    assert allowed(text, "/a") is expected


def test_robots_txt_itself_is_always_allowed() -> None:
    assert allowed("User-agent: *\nDisallow: /", "/robots.txt")


@pytest.mark.parametrize("agent", ["", "Diagonal/1.0", "diagonal2", "my bot", "*", "bot\n", "böt"])
def test_an_agent_that_no_robots_txt_can_name_is_refused(agent: str) -> None:
    with pytest.raises(ValueError, match=r"--fetch\.robots-agent"):
        FetchConfig(robots_agent=agent)
    assert FetchConfig(robots_agent="My_Bot-x").robots_agent == "My_Bot-x"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        (["all"], False),
        (["nofollow, noarchive"], False),
        (["noai"], True),
        (["NoImageAI"], True),
        (["nofollow, noindex"], True),
        (["noimageindex"], True),
        (["noml"], True),
        (["none"], True),
        (["googlebot: noindex"], False),
        (["googlebot: noindex", "noai"], True),
        (["googlebot: nofollow, noindex"], False),
        (["Diagonal: noai"], True),
        (["otherbot: nofollow, diagonal: noai"], True),
        (["unavailable_after: 25 Jun 2040 15:00:00 PST, noindex"], True),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], True),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai"], True),
        (["unavailable_after: Jun 25, 2010, 15:00:00 GMT, noai"], True),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, nofollow"], False),
        (["googlebot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], False),
        (["diagonal/1.0: noai"], True),
        (["360spider: noai"], False),
        (["max-snippet: 3"], False),
    ],
)
def test_opt_out_headers(headers: list[str], expected: bool) -> None:
    assert opts_out(headers, "diagonal") is expected


def test_opt_out_directives_are_whole_words() -> None:
    assert is_opt_out([" NOAI "])
    assert not is_opt_out(["noair", "index"])
