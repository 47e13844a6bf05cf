"""The bytes of a page as UTF-8, by what its header, its first bytes and its `<meta>` say."""

import codecs
import re
from collections.abc import Mapping

BINARY_STARTS = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"RIFF", b"OggS"),
    *(
        b"BZh",
        b"\xfd7zXZ",
        b"7z\xbc\xaf",
        b"\x7fELF",
        b"\x00\x00\x01\x00",
        b"wOFF",
        b"wOF2",
        b"ID3",
    ),
)
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Encodings a page may name, after Python's own names. Not every codec: `idna` and its kin are no
# encodings of pages, and some take quadratic time.
ENCODINGS = frozenset(
    {
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "big5hkscs", "koi8-r", "koi8-u", "cp874"),
        *("iso8859-2", "iso8859-5", "iso8859-7", "iso8859-15", "cp1250", "cp1251", "cp1252"),
        *("cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp932", "euc_jp"),
        *("iso2022_jp", "cp949", "gb18030", "cp866", "mac-cyrillic", "mac-roman"),
    }
)
MEANT: Mapping[str, str] = {
    **{"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "tis-620": "cp874"},
    **{"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030"},
    **{"big5": "big5hkscs", "utf-16": "utf-16-le"},
}
"""What the web means by a name (WHATWG Encoding §4.2), after Python's names."""
LABELS = {"x-sjis": "cp932", "windows-31j": "cp932", "x-gbk": "gb18030", "x-euc-jp": "euc_jp"}
DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
SNIFFED_BYTES = 1_024
# Bytes that no text has (WHATWG MIME Sniffing §3), NUL aside, which careless pages have.
BINARY = bytes([*range(1, 9), 11, *range(14, 27), *range(28, 32)])


def as_utf8(body: bytes, charset: str | None) -> bytes | None:
    """The page in UTF-8, or None if it is no text.

    Args:
        body: as fetched, perhaps cut off.
        charset: from the Content-Type header; beats the page's own word, as browsers have it.
    """
    encoding, start = _encoding(body, charset)
    if not encoding.startswith("utf-16") and _is_binary(body[:SNIFFED_BYTES]):
        return None
    if encoding == "utf-8":
        return body[start:]
    return body[start:].decode(encoding, "replace").encode("utf-8", "replace")


def _encoding(body: bytes, charset: str | None) -> tuple[str, int]:
    """The encoding, and where the text begins."""
    for mark, encoding in MARKS.items():
        if body.startswith(mark):
            return encoding, len(mark)
    known = page_encoding(charset) if charset else None
    if known:
        return known, 0
    if body.startswith((b"<\0", b"\0<")):
        return ("utf-16-le" if body[0] else "utf-16-be"), 0
    declared = DECLARED.search(body, 0, SNIFFED_BYTES)
    known = page_encoding(declared[1].decode("ascii", "replace")) if declared else None
    if known:
        # A declaration that could be read as ASCII is not in UTF-16 (HTML §13.2.3.2).
        return ("utf-8" if known.startswith("utf-16") else known), 0
    return ("utf-8" if _is_utf8(body) else "cp1252"), 0


def page_encoding(label: str) -> str | None:
    """Python's name of the encoding that the web means by a label; None for what is none."""
    label = label.strip("\"' \t\r\n").lower()
    try:
        name = codecs.lookup(LABELS.get(label, label)).name
    except (LookupError, ValueError):
        return None
    name = MEANT.get(name, name)
    return name if name in ENCODINGS else None


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        # What the cut at the end left of a character is no mistake.
        codecs.utf_8_decode(body, "strict", False)
    except UnicodeDecodeError:
        return False
    return True


def _is_binary(head: bytes) -> bool:
    if head.startswith(BINARY_STARTS):
        return True
    odd = len(head) - len(head.translate(None, BINARY))
    return odd + head.count(0) // 4 > len(head) // 100
