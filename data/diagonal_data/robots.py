"""What a site asks of robots: robots.txt (RFC 9309), with the `Content-Usage` lines that the IETF's
AI preferences draft adds (draft-ietf-aipref-attach), and X-Robots-Tag. Pure functions.

urllib.robotparser is not used: it takes the first rule that matches where RFC 9309 §2.2.2 wants the
longest, and it knows neither `*` nor `$`.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote, urlsplit

ROBOTS_MAX_BYTES = 500 * 2**10
"""What is read of a robots.txt; RFC 9309 §2.5 asks for at least 500 KiB. The rest is ignored."""
MOST_RULES = 2_000
"""Kept of each kind, in the file's order. What a longer list forbids beyond is not known, so it
errs towards fetching: to refuse the whole site would be harsher than anything it wrote."""
OPT_OUT_DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml", "none"})
# Directives with a value: what stands before their colon is no robot's name.
VALUED_DIRECTIVES = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)
# `diagonal` or `diagonal/1.0`. The rest of a date, ` 25 Jun 2010 15:00:00 GMT`, names nobody.
ROBOT_NAME = re.compile(r"(?=\S*[a-z])([^\s/]+)(/\S*)?")
PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


Patterns = tuple[tuple[bool, str], ...]
"""(verdict, normalised pattern), as `by_precedence` sorts them."""


@dataclass(frozen=True)
class RobotsRules:
    """What of one robots.txt concerns us."""

    rules: Patterns = ()
    """The verdict is `allow`."""
    no_training: Patterns = ()
    """The verdict is `train-ai=n`."""


ALLOW_ALL = RobotsRules()


def parse_robots(text: str, agent: str) -> RobotsRules:
    """The rules of all groups that name the product token `agent`, or else of the `*` groups."""
    us = agent.lower()
    ours: list[tuple[str, str]] = []
    everyones: list[tuple[str, str]] = []
    named = False
    agents: set[str] = set()
    agents_open = False
    for key, value in _lines(text):
        if key == "user-agent":
            # Consecutive user-agent lines share a group; one after a rule opens a new group.
            agents = agents if agents_open else set()
            agents.add(_product_token(value))
            agents_open = True
            named = named or us in agents
        elif key in ("allow", "disallow", "content-usage"):
            agents_open = False
            if value and us in agents:
                ours.append((key, value))
            if value and "*" in agents:
                everyones.append((key, value))
    lines = ours if named else everyones
    rules = [(key == "allow", value) for key, value in lines if key != "content-usage"]
    usages = [_usage(value) for key, value in lines if key == "content-usage"]
    return RobotsRules(by_precedence(rules), by_precedence(usage for usage in usages if usage))


def by_precedence(rules: Iterable[tuple[bool, str]]) -> Patterns:
    """The first `MOST_RULES` in the one spelling that is compared, so that the first match counts:
    the longest, and of two as long the one whose verdict is True.
    """
    normal = [(verdict, _normal_pattern(value)) for verdict, value in islice(rules, MOST_RULES)]
    return tuple(sorted(normal, key=lambda rule: (-len(rule[1]), not rule[0])))


def may_fetch(rules: RobotsRules, url: str) -> bool:
    """Whether the rules let `url` be fetched: the longest match decides, `allow` wins a tie."""
    return urlsplit(url).path == "/robots.txt" or longest_match(rules.rules, url) is not False


def denies_training(usage: str) -> bool:
    """Whether a Content-Usage value (an RFC 9651 dictionary) says `train-ai=n`."""
    for item in usage.lower().split(","):
        name, _, value = item.partition("=")
        if name.strip() == "train-ai" and value.partition(";")[0].strip() == "n":
            return True
    return False


def longest_match(rules: Patterns, url: str) -> bool | None:
    """The verdict of the longest pattern that matches the URL's path and query; True wins a tie.

    None if no pattern matches.
    """
    if not rules:
        return None
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # In a path `*` and `$` are plain characters, which patterns spell %2A and %24.
    path = _normal(path).replace("*", "%2A").replace("$", "%24")
    return next((verdict for verdict, pattern in rules if _matches(pattern, path)), None)


def opts_out(header_values: Iterable[str], agent: str) -> bool:
    """Whether X-Robots-Tag headers, one string each, opt out of us or of every robot.

    `NAME: directives` speaks to the robot NAME only, to the end of its header or the next name.
    """
    for header in header_values:
        addressed = True
        for item in header.lower().split(","):
            name, colon, rest = item.partition(":")
            if colon and name.strip() in VALUED_DIRECTIVES:
                continue
            named = ROBOT_NAME.fullmatch(name.strip()) if colon else None
            if named:
                addressed = named[1] == agent.lower()
            if addressed and is_opt_out([rest if named else item]):
                return True
    return False


def is_opt_out(directives: Collection[str]) -> bool:
    """Whether one of the directives, in any case, keeps images out of a training set."""
    return any(directive.strip().lower() in OPT_OUT_DIRECTIVES for directive in directives)


def _usage(value: str) -> tuple[bool, str] | None:
    """`/path train-ai=n` or `train-ai=n`; None for what says nothing of training."""
    path, _, usage = value.partition(" ") if value.startswith("/") else ("/", "", value)
    speaks = "train-ai" in usage.lower()
    return (denies_training(usage), path) if speaks else None


def _lines(text: str) -> Iterable[tuple[str, str]]:
    for line in re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _product_token(value: str) -> str:
    """`Diagonal/1.0` → `diagonal`: a token ends at the first character it may not have."""
    if value.startswith("*"):
        return "*"
    token = re.match(r"[A-Za-z_-]*", value)
    return token[0].lower() if token else ""


def _normal_pattern(value: str) -> str:
    """A path pattern in the one spelling that `longest_match` compares."""
    pattern = re.sub(r"\*+", "*", _normal(value))
    anchored = pattern.endswith("$")
    return pattern.removesuffix("$").replace("$", "%24") + ("$" if anchored else "")


def _normal(path: str) -> str:
    """One spelling of each character, so that `%7E` and `~`, `ä` and `%c3%a4` compare equal."""

    def spell(escape: re.Match[str]) -> str:
        character = chr(int(escape[1], 16))
        plain = character.isascii() and (character.isalnum() or character in "-._~")
        return character if plain else escape[0].upper()

    quoted = quote(path, safe=PRINTABLE_ASCII, errors="replace")
    return re.sub(r"%([0-9A-Fa-f]{2})", spell, quoted)


def _matches(pattern: str, path: str) -> bool:
    """Prefix match with `*` for any characters and a final `$` for the end.

    Pieces are sought one after the other, each at its first place: a regular expression with
    many `.*` could be made to backtrack for hours.
    """
    if len(pattern) - pattern.count("*") - 1 > len(path):
        return False
    anchored = pattern.endswith("$")
    first, *pieces = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if anchored and not pieces:
        return path == first
    position = len(first)
    last = pieces.pop() if anchored else ""
    for piece in pieces:
        found = path.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return path.endswith(last) and len(path) - len(last) >= position
