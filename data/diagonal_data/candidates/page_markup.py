"""Where tags, comments and raw text end (HTML §13.2.5, the tokeniser); in linear time."""

import re

RAW_TEXT_NAMES = (
    *(b"script", b"style", b"textarea", b"title", b"iframe", b"noembed", b"noframes", b"xmp"),
)
"""Elements whose text holds no tags."""
TAG = re.compile(
    rb"""</?[A-Za-z][^\t\n\f\r />]*+
    (?: [\t\n\f\r /]*+ [^\t\n\f\r />][^\t\n\f\r />=]*+ (?: [\t\n\f\r ]*+ = [\t\n\f\r ]*+
        (?: "[^"]*+(?:"|\Z) | '[^']*+(?:'|\Z) | [^\t\n\f\r >"'][^\t\n\f\r >]*+ )?+ )?+ )*+
    [\t\n\f\r /]*+ >""",
    re.VERBOSE,
)
MARKUP = re.compile(rb"<(?=/?[A-Za-z]|[!?/])")
COMMENT_END = re.compile(rb"--!?>")
RAW_TEXT_ENDS = {
    name: re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in RAW_TEXT_NAMES
}
SCRIPT_PARTS = re.compile(rb"<!--|-->|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE)
CLOSE = ord(">")
BEFORE_VALUE = b"= \t\n\r\f"
"""One of these stands before a quotation mark that opens a value."""
SVG_REACH = 4_096
"""How far back a `<svg` is looked for, where a tag closes itself as only those of SVG do."""


def tag_end(body: bytes, start: int) -> int:
    """Behind the `>` of the tag that begins there; -1 if the page ends before."""
    end = body.find(b">", start)
    if end < 0:
        return -1
    if _is_unquoted(body, start, end):
        return end + 1
    found = TAG.match(body, start)
    return found.end() if found else -1


def comment_end(body: bytes, start: int) -> int:
    """Behind the `-->` of the comment that begins there, or the end of the page."""
    # `<!-->` and `<!--->` are whole.
    found = COMMENT_END.search(body, start + 2)
    return found.end() if found else len(body)


def text_from(body: bytes, text: int, wanted: int) -> int:
    """The first place of text from `wanted` on, where `text` is one, and neither comments nor raw
    texts lie between: `wanted` itself, or behind the tag that it stands in.
    """
    shut = wanted - 1
    if body[shut] != CLOSE:
        shut = body.rfind(b">", text, wanted)
        if body.find(b"<", max(shut, text), wanted) >= 0:
            shut = -1
    if shut >= text and _is_unquoted(body, text, shut):
        return wanted
    while text < wanted:
        found = MARKUP.search(body, text, wanted)
        if not found:
            return wanted
        text = _markup_end(body, found.start())
    return text


def raw_text_end(body: bytes, start: int, end: int, name: bytes) -> int:
    """Where the raw text after a tag ends; `end` if the tag closes itself, as in SVG."""
    if body[end - 2] == ord("/"):
        before = body[max(start - SVG_REACH, 0) : start].lower()
        if before.rfind(b"<svg") > before.rfind(b"</svg"):
            return end
    found = RAW_TEXT_ENDS[name].search(body, end)
    text_end = found.start() if found else len(body)
    if name == b"script" and body.find(b"<!--", end, text_end) >= 0:
        return _script_end(body, end)
    return text_end


def _is_unquoted(body: bytes, start: int, end: int) -> bool:
    """Whether `end` is in no quoted value, for sure, where `start` is in text.

    A value that holds `end` begins at the last quotation mark of its kind before it.
    """
    quote = body.rfind(b'"', start, end)
    if quote > start and body[quote - 1] in BEFORE_VALUE:
        return False
    quote = body.rfind(b"'", start, end)
    return quote <= start or body[quote - 1] not in BEFORE_VALUE


def _markup_end(body: bytes, start: int) -> int:
    tag = TAG.match(body, start)
    if tag:
        return tag.end()
    if body[start + 1 : start + 3].removeprefix(b"/")[:1].isalpha():
        return len(body)
    # Not `<!--`, which its caller knows: the rest ends at the first `>`, quoted or not.
    return body.find(b">", start) + 1 or len(body)


def _script_end(body: bytes, start: int) -> int:
    """Where a script ends that holds `<!--`: a `<script>` after that needs an end of its own."""
    escaped = doubly = False
    for part in SCRIPT_PARTS.finditer(body, start):
        if part[0] == b"<!--":
            escaped = True
        elif part[0] == b"-->":
            escaped = doubly = False
        elif part[1] and not doubly:
            return part.start()
        elif escaped:
            doubly = not part[1]
    return len(body)
