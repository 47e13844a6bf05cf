"""Named rules for captions, with the parameters that their sources give: `--clean NAME`.

`web` is ours, for pages that nobody filtered before. The others are those of published data sets;
what of them cannot be done on text alone is listed in `not_applied`. A figure that a source does
not give is said to be ours.
"""

from collections.abc import Mapping

from diagonal_data.candidates.clean_rules import DETECTORS, CleanRules

ENGLISH = frozenset({"en"})

NONE = CleanRules()
WEB = CleanRules(detects=DETECTORS, min_chars=3, max_chars=1_000, max_repetition=0.6)
"""Any language, scripts without blanks included: no rule counts words."""
LAION = CleanRules(
    min_chars=5,
    not_applied=(
        "images of less than 5 kB",
        "CLIP similarity ≥ 0.3 (LAION-400M), ≥ 0.28 English, ≥ 0.26 other languages (LAION-5B)",
        "NSFW tags",
    ),
)
"""LAION-400M and LAION-5B (Schuhmann et al., 2021 and 2022)."""
DATACOMP = CleanRules(
    min_chars=6,
    min_words=3,
    languages=ENGLISH,
    not_applied=("shorter side ≥ 200 and longer ≤ 3 times it: known once images are fetched",),
)
"""DataComp's basic filter (Gadre et al., 2023): len > 5, words > 2, English by lid.176."""
COYO = CleanRules(
    min_chars=6,
    max_chars=1_000,
    min_words=3,
    max_words=256,
    languages=ENGLISH,
    max_per_caption=10,
    not_applied=(
        "at least one noun: needs a tagger",
        "NSFW words: the list is not published",
        "English by CLD3: here by lid.176 and CLD2",
        "images: ≥ 5 kB, shorter side ≥ 200, ratio ≤ 3, NSFW ≤ 0.5, pHash not in five test sets",
        "deduplication on (pHash, text)",
    ),
)
"""COYO-700M (Byeon et al., 2022)."""
ALIGN = CleanRules(
    min_words=3,
    max_words=20,
    max_per_caption=10,
    not_applied=(
        "texts with a token beyond the 100 M most frequent uni- and bigrams: not published",
        "images with more than 1,000 texts",
        "images: shorter side > 200, ratio < 3, no near-duplicates of test sets, no pornography",
    ),
)
"""ALIGN (Jia et al., 2021)."""
CC3M = CleanRules(
    strips_phrases=True,
    detects=DETECTORS,
    max_repetition=0.2,
    needs_capital=True,
    max_capital_words=0.5,
    needs_determiner=True,
    needs_preposition=True,
    languages=ENGLISH,
    not_applied=(
        "a noun, and no high share of nouns: needs a tagger",
        "words in fewer than 5 articles of Wikipedia; strong polarity; profanity",
        "names replaced by hypernyms; resulting entities with more than 100 counts",
        "images: JPEG, both sides > 400, ratio ≤ 2, a label that the text names",
    ),
)
"""CC3M (Sharma et al., 2018). It gives no figure for repetition (CC12M's is used), none for
capitals (0.5 is ours), and does not list its boilerplate (phrases.py does)."""
CC12M = CleanRules(
    strips_phrases=True,
    detects=DETECTORS,
    min_words=3,
    max_words=256,
    max_repetition=0.2,
    needs_determiner=True,
    languages=ENGLISH,
    not_applied=(
        "a noun: needs a tagger",
        "words with fewer than 20 counts; profanity",
        "names of persons replaced by <PERSON>",
        "images: both sides > 400, ratio ≤ 2.5",
    ),
)
"""CC12M (Changpinyo et al., 2021)."""

CLEAN: Mapping[str, CleanRules] = {
    "none": NONE,
    "web": WEB,
    "laion": LAION,
    "datacomp": DATACOMP,
    "coyo": COYO,
    "align": ALIGN,
    "cc3m": CC3M,
    "cc12m": CC12M,
}
