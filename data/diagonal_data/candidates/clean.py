"""Texts of images to captions: one spelling first, then the rules of a recipe.

Every recipe begins with the same spelling, in which raw texts of any page are comparable:

    characters    entities of HTML and tags of text resolved; mis-decoded UTF-8 repaired (ftfy);
                  Unicode NFC; no control characters, private use, bidi marks; emoji stay
    white space   on one line, single blanks

Then the rules run in the order of `CaptionReason`; the first that speaks against a text names the
reason. Of several texts of an image the first that survives is its caption. Where none does, the
image has the reason of the text that came furthest, and that text.

Rows are handled a column at a time, except for texts that the spelling changes.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

import ftfy
import ftfy.badness
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.candidates.clean_rules import (
    MAX_CHARS,
    CaptionReason,
    CleanRules,
    refusals,
    without_phrases,
)
from diagonal_data.candidates.text_columns import as_strings, matches, num_chars

KEPT_CHARS = 200
"""What stays of a text that is too long for any recipe."""
PLAIN = "^[!-%'-;=?-~]+( [!-%'-;=?-~]+)*$"
"""What the spelling leaves as it is: ASCII on one line without `&`, `<` and `>`."""
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
TAG = re.compile(
    r"</?(?:a|abbr|b|big|br|center|cite|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|s|small|span"
    r"|strong|sub|sup|table|td|th|tr|u|ul)(?:\s[^<>]{0,500})?/?>",
    re.IGNORECASE,
)
# Controls but for white space; soft hyphen; zero-width blanks; bidi marks, embeddings, isolates and
# overrides, which can show a text in another order than a tokenizer reads it; byte order mark;
# object replacement; private use (icon fonts); noncharacters. Not the joiners U+200C and U+200D:
# Persian, Indic scripts and emoji need them.
UNSEEN = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffc\ufffe\uffff"
    "\U000f0000-\U0010ffff]"
)
KEPT = len(CaptionReason)
NO_TEXT = list(CaptionReason).index(CaptionReason.NO_TEXT)
FIXES = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
)


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """One row per image."""

    captions: pa.Array
    """string, never null: the caption; of a refused image the text that came furthest, or ""."""
    places: np.ndarray
    """int32: which of the image's texts that is; −1 if it has none."""
    reasons: pa.DictionaryArray
    """`CaptionReason` as string; null: the caption is kept."""


def clean_columns(texts: pa.ListArray | pa.ChunkedArray, rules: CleanRules) -> Cleaned:
    """The caption of each image, or why it has none; depends on nothing but its own texts."""
    lists = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    counts = np.asarray(pc.call_function("list_value_length", [lists]).fill_null(0), np.int64)
    column = spell(as_strings(lists.flatten()))
    if rules.strips_phrases:
        column = without_phrases(column)
    reached = _reached(column, rules)
    chosen = _furthest(reached, counts)
    missing = chosen < 0
    places = chosen - (np.cumsum(counts) - counts)
    refused_by = np.full(len(counts), NO_TEXT, np.int8)
    refused_by[~missing] = reached[chosen[~missing]]
    captions = column.take(pa.array(chosen, mask=missing)).fill_null("")
    return Cleaned(
        captions=_cut(captions),
        places=np.where(missing, -1, places).astype(np.int32),
        reasons=_as_reasons(refused_by),
    )


def _cut(captions: pa.Array) -> pa.Array:
    """What is too long for any recipe is not carried on."""
    too_long = num_chars(captions) > MAX_CHARS
    if not too_long.any():
        return captions
    beginnings = [text[:KEPT_CHARS] for text in captions.filter(pa.array(too_long)).to_pylist()]
    return pc.call_function(
        "replace_with_mask", [captions, pa.array(too_long), pa.array(beginnings)]
    )


def spell(texts: pa.Array) -> pa.Array:
    """The one spelling of each text; null is ""."""
    texts = texts.fill_null("")
    odd = ~matches(texts, PLAIN) | (num_chars(texts) > MAX_CHARS)
    if not odd.any():
        return texts
    changed = [spelled(text) for text in texts.filter(pa.array(odd)).to_pylist()]
    values = pa.array(changed, pa.string())
    return pc.call_function("replace_with_mask", [texts, pa.array(odd), values])


def spelled(text: str) -> str:
    """The one spelling of a text; one beyond `MAX_CHARS` is cut to just more."""
    if len(text) > MAX_CHARS:
        return text[: MAX_CHARS + 1]
    if "&" in text:
        # Twice: much of the web escapes what is escaped already.
        text = ENTITY.sub(_character, ENTITY.sub(_character, text))
    if "<" in text:
        text = TAG.sub(" ", text)
    if text.isascii():
        return " ".join(UNSEEN.sub("", text).split())
    if ftfy.badness.is_bad(text):
        text = ftfy.fix_text(text, FIXES)
    return unicodedata.normalize("NFC", " ".join(UNSEEN.sub("", text).split()))


def _character(entity: re.Match[str]) -> str:
    return html.unescape(entity[0])


def _reached(texts: pa.Array, rules: CleanRules) -> np.ndarray:
    """How far each text came: the place of the rule that refuses it, `KEPT` if none does."""
    reached = np.full(len(texts), KEPT, np.int8)
    # From the last rule to the first, so that the first stays.
    for place, reason in reversed(list(enumerate(CaptionReason))):
        refused = refusals(texts, reason, rules)
        if refused is not None:
            reached[refused] = place
    return reached


def _furthest(reached: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Per image the place in the column of its first text that came furthest; −1 without texts."""
    chosen = np.full(len(counts), -1, np.int64)
    if not len(reached):
        return chosen
    filled = np.flatnonzero(counts)
    starts = np.cumsum(counts[filled]) - counts[filled]
    best = np.repeat(np.maximum.reduceat(reached, starts), counts[filled])
    places = np.flatnonzero(reached == best)
    rows, first = np.unique(np.repeat(filled, counts[filled])[places], return_index=True)
    chosen[rows] = places[first]
    return chosen


def _as_reasons(places: np.ndarray) -> pa.DictionaryArray:
    names = pa.array([reason.value for reason in CaptionReason])
    return pa.DictionaryArray.from_arrays(pa.array(places, mask=places == KEPT), names)
