"""Texts as a reader sees them: character references resolved, tags taken out."""

import html
import re
from html.entities import html5

REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9A-Fa-f]+);?|[A-Za-z][A-Za-z0-9]*;?)")
# Tags that begin a new line in most pages; other tags join what stands around them.
NEW_LINE = re.compile(
    r"<(?:br|/?(?:div|li|p|td|th|tr|dd|dt|h[1-6]|ul|ol|section))(?=[\s/>])[^>]*+(?:>|\Z)",
    re.IGNORECASE | re.ASCII,
)
UNSEEN = re.compile(
    r"<(?:!--.*?(?:--!?>|\Z)|(script|style|noscript|template)\b.*?(?:</\1\s*+>?|\Z))",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
MARKUP = re.compile(
    r"""<(?: /?[A-Za-z] (?: [^>=]++ | =\s*+ (?: "[^"]*+"? | '[^']*+'? | [^\s>"'][^\s>]*+ )?+ )*+
    | [!?/][^>]*+ ) (?:>|\Z)""",
    re.VERBOSE | re.ASCII,
)


def collapse(text: str) -> str:
    """The text on one line: runs of white space become one space."""
    return " ".join(text.split())


def attribute_text(value: str) -> str:
    """The value of an attribute with its character references resolved.

    Not as in text: there `?a=1&copy=2` would become `?a=1©=2` (HTML §13.2.5.73).
    """
    if "&" not in value:
        return value
    if value.count("&") == value.count("&amp;"):
        return value.replace("&amp;", "&")
    return REFERENCE.sub(_resolved, value)


def _resolved(reference: re.Match[str]) -> str:
    text = reference[0]
    if text[1] == "#":
        return html.unescape(text)
    following = reference.string[reference.end() : reference.end() + 1]
    if not text.endswith(";") and following == "=":
        return text
    return html5.get(text[1:], text)


def visible_text(markup: str) -> str:
    """One line of text, with a space where a new line begins and none inside `H<sub>2</sub>O`."""
    if "<" in markup:
        markup = UNSEEN.sub("", markup)
        markup = MARKUP.sub("", NEW_LINE.sub(" ", markup))
    return collapse(html.unescape(markup))
