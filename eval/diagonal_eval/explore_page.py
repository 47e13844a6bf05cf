"""The explorer's one page: a search form and what it found.

Captions, addresses and details come from strangers' pages: every text is escaped here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from diagonal_infra.html_page import CSS

EXTRA_CSS = """
form { display: flex; gap: 10px; margin: 18px 0 22px; }
input, select, button { font: inherit; padding: 8px 12px; border: 1px solid var(--line);
  border-radius: 8px; background: var(--card); color: var(--ink); }
input { flex: 1; } button { background: var(--accent); color: var(--bg); }
"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One result: a caption, small lines under it, and a picture if there is one."""

    caption: str
    lines: Sequence[str]
    picture_uid: str | None = None


@dataclass(frozen=True, kw_only=True)
class SearchForm:
    """What was asked, and what can be."""

    query: str
    show: str
    choices: Sequence[str]


def search_page(title: str, summary: str, form: SearchForm, cards: Sequence[Card]) -> str:
    """The whole page."""
    options = "".join(
        f'<option value="{escape(name)}"{" selected" if name == form.show else ""}>'
        f"{escape(name)}</option>"
        for name in form.choices
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Diagonal: explore</title><style>{CSS}{EXTRA_CSS}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(summary)}</p>'
        f'<form action="/search"><input name="q" value="{escape(form.query)}" '
        f'placeholder="what the picture shows" autofocus><select name="show">{options}</select>'
        f'<button>Search</button></form><div class="sheet">{"".join(map(_figure, cards))}</div>'
        "</main></body></html>"
    )


def _figure(card: Card) -> str:
    picture = ""
    if card.picture_uid is not None:
        picture = f'<img loading="lazy" alt="" src="/image/{escape(card.picture_uid)}">'
    lines = "".join(f"<small>{escape(line)}</small>" for line in card.lines if line)
    return f"<figure>{picture}<figcaption>{escape(card.caption)}{lines}</figcaption></figure>"
