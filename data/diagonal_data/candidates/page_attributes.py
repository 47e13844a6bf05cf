"""The attributes of a tag, as bytes by their names in lower case, and what they say."""

import re
from collections.abc import Mapping
from functools import lru_cache

from diagonal_data.candidates.page_text import attribute_text

Attributes = Mapping[bytes, bytes | None]
"""Each as it stands between its quotation marks; None is as good as absent."""

PLAIN_NAMES = (
    b"alt",
    b"src",
    b"srcset",
    b"width",
    b"height",
    b"title",
    b"data-src",
    b"data-srcset",
)
# Of nearly all images the tag is lower-case names, values in double quotes, no name twice and no
# other name of interest: one match then does what else takes three times as long.
PLAIN_IMAGE = re.compile(
    rb"""<img(?: [ \t\n\r\f]++ (?:
        (?(1)(?!)|alt="([^"]*+)") | (?(2)(?!)|src="([^"]*+)") | (?(3)(?!)|srcset="([^"]*+)")
      | (?(4)(?!)|width="([^"]*+)") | (?(5)(?!)|height="([^"]*+)") | (?(6)(?!)|title="([^"]*+)")
      | (?(7)(?!)|data-src="([^"]*+)") | (?(8)(?!)|data-srcset="([^"]*+)")
      | (?!alt|src|width|height|title|aria-label
          |data-(?:src|original|lazy|hi-res|orig|large|full|img|echo))
        [a-z] [a-z0-9-]*+ (?:="[^"]*+")?+ (?=[ \t\n\r\f/>])
    ) )* [ \t\n\r\f]*+ /?>""",
    re.VERBOSE,
)
ATTRIBUTE = re.compile(
    rb"""([^ \t\n\r\f/>][^ \t\n\r\f/>=]*+)
    (?: [ \t\n\r\f]*+ = [ \t\n\r\f]*+ ("[^"]*+"?|'[^']*+'?|[^ \t\n\r\f>]*+) )?+""",
    re.VERBOSE,
)
PIXELS = re.compile(r"\s*([0-9]{1,6})(?:px)?\s*", re.ASCII)


def attributes(body: bytes, start: int, end: int) -> Attributes:
    """The attributes of a tag; of two with the same name the first, as in browsers."""
    # The first that is found is the tag's own name.
    found = ATTRIBUTE.findall(body, start, end - 1)[:0:-1]
    return {name.lower(): _unquoted(value) for name, value in found}


def value_of(raw: bytes | None) -> str:
    """What the attribute says, its character references resolved."""
    if not raw:
        return ""
    value = raw.decode("utf-8", "replace")
    return attribute_text(value) if "&" in value else value


@lru_cache(1_024)
def pixels(raw: bytes | str | None) -> int | None:
    """A size as declared, in whole pixels."""
    value = raw if isinstance(raw, str) else value_of(raw)
    found = PIXELS.fullmatch(value) if value else None
    return int(found[1]) if found else None


def _unquoted(value: bytes) -> bytes:
    return value[1:-1] if value[:1] in (b'"', b"'") else value
