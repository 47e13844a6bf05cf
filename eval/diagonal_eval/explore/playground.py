"""The model at hand: which label fits a picture, and how a batch's pictures and captions match.

Shape suffixes: N pictures and their captions, C labels, D embedding width.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from diagonal_eval.dataset import content_digest
from diagonal_eval.embed import Encoder, embed_images, embed_texts, load_encoder
from diagonal_eval.explore.embeddings import Floats, Sidecar
from diagonal_eval.zeroshot import build_classifier, normalise
from diagonal_infra.errors import UserError

DEFAULT_SCALE = 100.0
"""Where a model has no temperature of its own: the bound of CLIP's."""
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One label."""

    label: str
    cosine: float
    share: float
    """Of the softmax over all labels."""


class Playground:
    """An encoder, one question at a time."""

    def __init__(self, model: str) -> None:
        """Load the model.

        Raises:
            UserError: there is no such model.
        """
        self.encoder: Encoder = load_encoder(model)
        self.scale = _scale_of(self.encoder)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """For the page's head."""
        return self.encoder.name

    def embed_query(self, text: str) -> Floats:
        """A unit row."""
        return normalise(self._texts([text]))[0]

    def rank(
        self, image: bytes, labels: Sequence[str], template: str, scale: float
    ) -> list[Ranked]:
        """Labels by falling share.

        Raises:
            UserError: the picture cannot be decoded.
        """
        classifier_CD = build_classifier(self._texts, labels, [template])
        image_D = self._pictures([image])[0]
        if not image_D.any():
            raise UserError("the picture cannot be decoded, so the model cannot see it")
        cosine_C = classifier_CD @ image_D
        weight_C = np.exp(scale * (cosine_C - cosine_C.max()).astype(np.float64))
        share_C = weight_C / weight_C.sum()
        order: list[int] = np.argsort(-cosine_C, kind="stable").tolist()
        return [
            Ranked(label=labels[n], cosine=float(cosine_C[n]), share=float(share_C[n]))
            for n in order
        ]

    def similarities(self, images: Sequence[bytes], captions: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of every picture (rows) with every caption (columns)."""
        return self._pictures(images) @ normalise(self._texts(captions)).T

    def made(self, sidecar: Sidecar, shard: str, sha256: str) -> bool:
        """Whether embeddings are this model's, of this tar."""
        if sidecar.source == content_digest(self.encoder.digest, shard, sha256):
            return True
        return sidecar.model in (self.encoder.digest, self.encoder.name)

    def _pictures(self, images: Sequence[bytes]) -> Floats:
        """A unit row per picture; zeros for one that cannot be decoded."""
        with self._lock:
            return normalise(embed_images(self.encoder, images, BATCH))

    def _texts(self, texts: Sequence[str]) -> NDArray[np.float16]:
        with self._lock:
            return embed_texts(self.encoder, list(texts), BATCH)


def _scale_of(encoder: Encoder) -> float:
    """The exponentiated inverse temperature that the model was trained to."""
    logarithm = getattr(encoder.model, "logit_scale", None)
    if not isinstance(logarithm, torch.Tensor):
        return DEFAULT_SCALE
    return math.exp(float(logarithm.detach()))
