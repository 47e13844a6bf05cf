"""Text of strangers in Markdown, CSV and LaTeX: shown to the letter, never obeyed.

Control characters, bidirectional controls and lone surrogates become U+FFFD: in a plain file they
would reorder or cut what stands around them.
"""

import re
import unicodedata
from html import escape

BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
LINE_ENDS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
MARKDOWN = re.compile(r"([\\`*_{}\[\]#!|~$]|:(?=//)|(?<=www)\.|^[-+=])")
LIST_NUMBER = re.compile(r"^(\d+)([.)])(?=\s)")
"""Markup, what begins an address, and what begins a list where it stands first."""
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for a formula; full-width signs too, as some locales do."""
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "'": r"{'}",
    "`": r"{`}",
    "-": r"{-}",
    # A row that began with [ or * would be taken for an argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def plain(text: str) -> str:
    """One line without characters that change how the text around them is read."""
    return "".join(_shown(char) for char in LINE_ENDS.sub(" ", text))


def markdown_text(text: str) -> str:
    """For running text and table cells; neither markup nor HTML comes of it."""
    marked = MARKDOWN.sub(r"\\\1", plain(text))
    return escape(LIST_NUMBER.sub(r"\1\\\2", marked), quote=False)


def csv_text(text: str) -> str:
    """For a cell: a spreadsheet takes what could be a formula for text."""
    shown = plain(text)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA_STARTS) else shown


def latex_text(text: str) -> str:
    """For a cell of a table."""
    return "".join(LATEX.get(char, char) for char in plain(text))


def _shown(char: str) -> str:
    odd = unicodedata.category(char) in ("Cc", "Cs") or char in BIDI_CONTROLS
    return "\ufffd" if odd else char
