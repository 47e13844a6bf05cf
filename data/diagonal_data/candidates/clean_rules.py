"""What speaks against a text as a caption, and the parameters of each rule.

The detectors know whole texts: a caption that mentions a file or a number is none of them. Lengths
are code points, words what stands between blanks.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.candidates import phrases
from diagonal_data.candidates.text_columns import (
    matches,
    num_chars,
    num_matches,
    num_spaces,
    replaced,
)

MAX_CHARS = 20_000
"""A longer text is no caption, whatever the recipe."""


class CaptionReason(StrEnum):
    """Why an image has no caption, in the order in which the rules run."""

    NO_TEXT = "no_text"
    TEXT_TOO_LONG = "text_too_long"
    URL = "caption_is_url"
    FILE_NAME = "caption_is_file_name"
    IDENTIFIER = "caption_is_identifier"
    BOILERPLATE = "caption_is_boilerplate"
    TOO_FEW_CHARS = "too_few_chars"
    TOO_MANY_CHARS = "too_many_chars"
    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    REPETITION = "caption_repeats"
    CAPITALS = "caption_capitals"
    NO_DETERMINER = "no_determiner"
    NO_PREPOSITION = "no_preposition"
    OTHER_LANGUAGE = "other_language"
    """Given once the language is known, of which these rules know nothing."""


@dataclass(frozen=True, kw_only=True)
class CleanRules:
    """One recipe's parameters; 0 or False is no rule."""

    min_chars: int = 0
    max_chars: int = 0
    """Code points."""
    min_words: int = 0
    max_words: int = 0
    detects: frozenset[CaptionReason] = frozenset()
    """Of URL, FILE_NAME, IDENTIFIER and BOILERPLATE."""
    strips_phrases: bool = False
    """Cut `phrases.STRIPPED` out of texts before anything is judged."""
    max_repetition: float = 0.0
    """Largest share of words that stood in the text before."""
    needs_capital: bool = False
    """The first letter is a capital one, where its script has them."""
    max_capital_words: float = 0.0
    """Largest share of words that begin with a capital letter."""
    needs_determiner: bool = False
    needs_preposition: bool = False
    """By the lists of English in phrases.py."""
    languages: frozenset[str] = frozenset()
    """Kept ones; empty: all. Applied once the language is known."""
    max_per_caption: int = 0
    """Images that may share a caption; 0: any number. Applied by deduplication."""
    not_applied: tuple[str, ...] = ()
    """What the source does besides, which needs the picture, a tagger or lists it never gave."""


DETECTORS = frozenset(
    {
        CaptionReason.URL,
        CaptionReason.FILE_NAME,
        CaptionReason.IDENTIFIER,
        CaptionReason.BOILERPLATE,
    }
)
URL = (
    r"(?i)https?://[^ ]|\bwww\.[a-z0-9]"
    r"|^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:[a-z]{2}|com|net|org|info|biz|edu|gov|shop|online|site|blog)"
    r"(?:/[^ ]*)?$"
)
FILE_NAME = (
    r"(?i)[\pL\pN_)\]]\.(?:avif|bmp|gif|heic|jfif|jpe?g|png|psd|svg|tiff?|webp)$"
    r"|^(?:img|dsc|dscn|dscf|dcim|pxl|mvi|gopr|dji|pict|sam|cimg|imag|image|photo|pic|scan|untitled"
    r"|screen ?shot|whatsapp image)[-_ ]*[0-9][0-9 _.:()x-]*(?: ?at [0-9 .:_-]*(?: ?[ap]m)?)?$"
)
NUMBERS = r"^[\pN\pP\p{Zs}+=<>|~^$`°×€£¥]+$"
HEX = r"(?i)^[{(]?[0-9a-f][0-9a-f-]{7,}[)}]?$"
# One ASCII word with four digits or an underscore in it.
CODE = r"^[!-~]*(?:_|[0-9][!-~]*[0-9][!-~]*[0-9][!-~]*[0-9])[!-~]*$"
ENDS = r"^[\pP\pS\p{Zs}]+|[\pP\pS\p{Zs}]+$"
LOOSE_ENDS = r"^[\p{Zs}|:;,–—_~-]+|[\p{Zs}|:;,–—_~-]+$"
SMALL_FIRST = r"^\PL*\p{Ll}"
CAPITAL_WORD = r"(?:^| )[\pP\pS]*\p{Lu}"


def refusals(texts: pa.Array, reason: CaptionReason, rules: CleanRules) -> np.ndarray | None:
    """Mask of the texts that the rule speaks against; None if the recipe has no such rule."""
    if reason in DETECTORS:
        return DETECT[reason](texts) if reason in rules.detects else None
    match reason:
        case CaptionReason.NO_TEXT:
            return num_chars(texts) == 0
        case CaptionReason.TEXT_TOO_LONG:
            return num_chars(texts) > MAX_CHARS
        case CaptionReason.TOO_FEW_CHARS if rules.min_chars:
            return num_chars(texts) < rules.min_chars
        case CaptionReason.TOO_MANY_CHARS if rules.max_chars:
            return num_chars(texts) > rules.max_chars
        case CaptionReason.TOO_FEW_WORDS if rules.min_words:
            return num_words(texts) < rules.min_words
        case CaptionReason.TOO_MANY_WORDS if rules.max_words:
            return num_words(texts) > rules.max_words
        case CaptionReason.REPETITION if rules.max_repetition:
            return repetition(texts) > rules.max_repetition
        case CaptionReason.CAPITALS if rules.needs_capital or rules.max_capital_words:
            return _odd_capitals(texts, rules)
        case CaptionReason.NO_DETERMINER if rules.needs_determiner:
            return ~matches(texts, _any_of(phrases.DETERMINERS))
        case CaptionReason.NO_PREPOSITION if rules.needs_preposition:
            return ~matches(texts, _any_of(phrases.PREPOSITIONS))
    return None


def without_phrases(texts: pa.Array) -> pa.Array:
    """The texts without the phrases of stock sites and galleries, tidied at the ends."""
    found = matches(texts, phrases.STRIPPED)
    if not found.any():
        return texts
    cut = replaced(texts.filter(pa.array(found)), phrases.STRIPPED, " ")
    cut = replaced(replaced(cut, r"\p{Zs}+", " "), LOOSE_ENDS, "")
    return pc.call_function("replace_with_mask", [texts, pa.array(found), cut])


def num_words(texts: pa.Array) -> np.ndarray:
    """Words of texts on one line with single blanks."""
    return num_spaces(texts) + (num_chars(texts) > 0)


def repetition(texts: pa.Array) -> np.ndarray:
    """Share of the words of each text, in small letters, that stood in it before."""
    words = [text.lower().split(" ") for text in texts.to_pylist()]
    return np.array([(len(some) - len(set(some))) / len(some) for some in words])


def is_url(texts: pa.Array) -> np.ndarray:
    """Texts with an address in them, and those that are a domain."""
    return matches(texts, URL)


def is_file_name(texts: pa.Array) -> np.ndarray:
    """Texts that end like an image file, or are named as cameras and screenshots name them."""
    return matches(texts, FILE_NAME)


def is_identifier(texts: pa.Array) -> np.ndarray:
    """Numbers, dates and dashes only; hexadecimal; one word of letters, digits and underscores."""
    is_hex = matches(texts, HEX) & matches(texts, "[0-9]")
    return matches(texts, NUMBERS) | is_hex | matches(texts, CODE)


def is_boilerplate(texts: pa.Array) -> np.ndarray:
    """Texts that are a phrase of phrases.py, whatever their case and punctuation."""
    bare = pc.call_function("utf8_lower", [replaced(texts, ENDS, "")])
    counted = matches(bare, phrases.COUNTED) | matches(bare, phrases.INVITATION)
    return _is_in(bare, phrases.BOILERPLATE) | counted


DETECT = {
    CaptionReason.URL: is_url,
    CaptionReason.FILE_NAME: is_file_name,
    CaptionReason.IDENTIFIER: is_identifier,
    CaptionReason.BOILERPLATE: is_boilerplate,
}


def _odd_capitals(texts: pa.Array, rules: CleanRules) -> np.ndarray:
    odd = np.zeros(len(texts), bool)
    if rules.needs_capital:
        odd |= matches(texts, SMALL_FIRST)
    if rules.max_capital_words:
        odd |= num_matches(texts, CAPITAL_WORD) > rules.max_capital_words * num_words(texts)
    return odd


def _any_of(words: tuple[str, ...]) -> str:
    return rf"(?i)\b(?:{'|'.join(words)})\b"


def _is_in(texts: pa.Array, words: frozenset[str]) -> np.ndarray:
    options = pc.SetLookupOptions(pa.array(sorted(words)))
    return np.asarray(pc.call_function("is_in", [texts], options))
