"""Which label fits a picture: probabilities over the labels, at the model's own temperature.

    labels ─ templates ─ text embeddings ─ mean ─┐
    pictures ─ decode ─ image embeddings ────────┴─ cosine × logit scale ─ softmax ─ probability

Shape suffixes: N pictures, C labels, D embedding width.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.classify.config import ClassifyConfig
from diagonal_eval.embed import Encoder, embed_images, embed_texts
from diagonal_eval.zeroshot import Floats, fill_template, normalise
from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError, UserError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jfif")
"""What of a folder is classified."""
ARTICLE = re.compile(r"(?:an?|the)\s", re.IGNORECASE)
TEMPLATE_ARTICLE = re.compile(r"\b(?:an?|the) \{\}")
TIE = 1e-6
"""Probabilities this close are equal."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A label and how well it fits."""

    label: str
    probability: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A picture with its best labels, best first; none where it could not be read."""

    image: str
    guesses: tuple[Guess, ...] = ()
    note: str = ""
    """Why not to trust the order of the first two."""


def read_labels(config: ClassifyConfig) -> list[str]:
    """The labels of command line and file, in order, each once.

    Raises:
        UserError: there is none, one is empty, or the file cannot be read.
    """
    labels = [label.strip() for label in config.labels]
    if any(not label for label in labels):
        raise UserError("--labels has an empty label")
    if config.labels_file:
        try:
            text = storage.read_bytes(config.labels_file).decode("utf-8-sig")
        except (OSError, DiagonalError, UnicodeDecodeError) as error:
            raise UserError(f"--labels-file {config.labels_file!r}: {error}") from error
        labels += [line.strip() for line in text.splitlines() if line.strip()]
    if not labels:
        raise UserError('there is nothing to choose from; give --labels "a cat" "a dog"')
    distinct = list(dict.fromkeys(labels))
    if len(distinct) < len(labels):
        logger.warning("labels given twice count once: %d of %d", len(distinct), len(labels))
    if len(distinct) == 1:
        logger.warning("one label: its probability is always 1; look at the cosine instead")
    return distinct


def find_images(patterns: Sequence[str]) -> list[str]:
    """The pictures that are named; a name that leads to none stands for itself and fails later.

    Raises:
        UserError: none is named, or a folder has none.
    """
    if not patterns:
        raise UserError("no pictures given; put them behind --: --labels … -- img1.jpg img2.png")
    paths: list[str] = []
    for pattern in patterns:
        paths += _expanded(pattern)
    return list(dict.fromkeys(paths))


def _expanded(pattern: str) -> list[str]:
    # A web server cannot be listed, and its names may hold the marks of globs.
    if pattern.startswith(("http://", "https://")):
        return [pattern]
    local = storage.local_path(pattern)
    if storage.list_files(pattern) or (local is not None and storage.list_folders(pattern)):
        names = [name for name in storage.list_files(pattern) if name.lower().endswith(PICTURES)]
        if not names:
            raise UserError(f"folder {pattern!r} holds no pictures ({', '.join(PICTURES)})")
        return [storage.join(pattern, name) for name in names]
    if storage.exists(pattern):
        return [pattern]
    try:
        return storage.expand(pattern)
    except UserError:
        return [pattern]


def prompts_of(label: str, templates: Sequence[str]) -> list[str]:
    """The label in every template, with one article."""
    if ARTICLE.match(label):
        templates = [TEMPLATE_ARTICLE.sub("{}", template) for template in templates]
    return [fill_template(template, label) for template in templates]


def build_label_classifier(
    encoder: Encoder, labels: Sequence[str], templates: Sequence[str], batch_size: int
) -> Floats:
    """A unit row per label: the mean over its prompts, as `zeroshot.build_classifier` has it."""
    prompts = [prompt for label in labels for prompt in prompts_of(label, templates)]
    rows_PD = normalise(embed_texts(encoder, prompts, batch_size))
    return normalise(rows_PD.reshape(len(labels), len(templates), -1).mean(axis=1))


def classify(config: ClassifyConfig, encoder: Encoder) -> list[Classified]:
    """Every picture's best labels; one that cannot be read is named in the log.

    Raises:
        UserError: no pictures or labels.
    """
    labels, paths = read_labels(config), find_images(config.images)
    classifier_CD = build_label_classifier(encoder, labels, config.templates, config.batch_size)
    images_ND = normalise(embed_images(encoder, _contents(paths), config.batch_size))
    cosine_NC = images_ND @ classifier_CD.T
    probability_NC = softmax(cosine_NC.astype(np.float64) * encoder.logit_scale)
    found = []
    for path, image_D, cosine_C, probability_C in zip(
        paths, images_ND, cosine_NC, probability_NC, strict=True
    ):
        if not image_D.any():
            logger.error("picture cannot be read or decoded path=%s", path)
            found.append(Classified(image=path))
            continue
        order = np.argsort(-cosine_C, kind="stable")[: config.top]
        guesses = [
            Guess(label=labels[n], probability=float(probability_C[n]), cosine=float(cosine_C[n]))
            for n in order
        ]
        note = note_for(np.sort(probability_C)[::-1], config.close)
        found.append(Classified(image=path, guesses=tuple(guesses), note=note))
    return found


def _contents(paths: Sequence[str]) -> Iterator[bytes]:
    """Each picture's bytes; empty where they cannot be read."""
    for path in paths:
        try:
            yield storage.read_bytes(path)
        except (OSError, DiagonalError) as error:
            logger.warning("picture not read path=%s error=%s", path, error)
            yield b""


def softmax(logits_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that add up to 1."""
    weight_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return weight_NC / weight_NC.sum(axis=1, keepdims=True)


def note_for(falling_C: NDArray[np.float64], close: float) -> str:
    """What to say of a picture's probabilities, which fall."""
    if len(falling_C) < 2 or falling_C[0] - falling_C[1] >= max(close, TIE):
        return ""
    return "tie" if falling_C[0] - falling_C[1] < TIE else "close"
