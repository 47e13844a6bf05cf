"""Who says that an image is not for training, and where. Pure functions.

    X-Robots-Tag: noai …            header; robots.py reads it
    tdm-reservation: 1              header of TDMRep (W3C community report, 2024)
    /.well-known/tdmrep.json        TDMRep's file of a site, by path patterns
    Content-Usage: train-ai=n       header, or line in robots.txt (draft-ietf-aipref-attach)

Each verdict is kept as a column, also where it is not acted upon, so that a policy can be tightened
later without asking anybody again.
"""

import json
from collections.abc import Mapping, Sequence

from diagonal_data import robots


def opt_out_in_headers(
    headers: Mapping[str, str], x_robots_tags: Sequence[str], agent: str
) -> str | None:
    """The header that opts out of training, as `Name: value`, or None."""
    if robots.opts_out(x_robots_tags, agent):
        return f"X-Robots-Tag: {', '.join(x_robots_tags)[:200]}"
    if headers.get("tdm-reservation", "").strip() == "1":
        return "tdm-reservation: 1"
    usage = headers.get("content-usage", "")
    return f"Content-Usage: {usage[:200]}" if robots.denies_training(usage) else None


def parse_tdmrep(body: bytes) -> robots.Patterns:
    """Patterns that say whether they reserve, of a tdmrep.json's first entries.

    What is no entry is passed over.
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("location"), str):
            continue
        reservation = str(entry.get("tdm-reservation"))
        if reservation in ("0", "1"):
            found.append((reservation == "1", entry["location"]))
    return robots.by_precedence(found)


def reservation_at(rules: robots.Patterns, url: str) -> str | None:
    """`1` or `0` as a tdmrep.json states it for the URL, or None.

    The longest pattern decides and a reservation wins a tie: the report leaves the order open, and
    in doubt the image is reserved.
    """
    reserved = robots.longest_match(rules, url)
    return None if reserved is None else str(int(reserved))
