"""Text in pictures: how much there is, whether it is the caption, and what is left without it.

text_area           share of the picture that boxes of read text cover, 0–1
text_overlap        share of the caption's words that can be read in the picture, 0–1
similarity_masked   cosine of the caption and the picture with its text painted over, with --model

A picture that shows its caption as print has a high CLIP similarity and teaches reading alone;
T-MARS (Maini et al., 2023, arXiv:2307.03132) ranks by the similarity without the text instead. It
finds text with FAST; here it is PaddleOCR's detector and reader for Chinese and Latin letters, as
rapidocr packs them. A box whose text is read with less than 0.5 does not count.

Blind spot: letters of less than about 10 pixels, curved text, and scripts other than the two.
"""

import re
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.embed import Encoder, embed_texts, encode_pixels, load_encoder, preprocess_for
from diagonal_eval.scores.clip import probe_width, similarities
from diagonal_eval.scores.config import OcrConfig
from diagonal_eval.scores.scorer import Scored, Scorer, needed
from diagonal_train.streaming.transforms import whole_image

SCHEMA = pa.schema([("text_area", pa.float32()), ("text_overlap", pa.float32())])
MASKED = pa.field("similarity_masked", pa.float32())
PACKAGE = "rapidocr-onnxruntime"
WORD = re.compile(r"[^\W_]+")
GLUED_CHARS = 4
"""A word as long counts as read inside another: the reader often leaves the blanks out."""
SURROUNDINGS = 0.25
"""Of a box's shorter side: so far around it its filling is taken from."""
Boxes = list[NDArray[np.float32]]
"""Corners of each, 4×2, as x and y in pixels."""


class Picture(NamedTuple):
    """As coded, for the model; and its pixels, for the reader."""

    content: bytes
    pixels: NDArray[np.uint8]


def build(config: OcrConfig) -> Scorer:
    """The scorer with the reader, and the model for `similarity_masked` if there is one.

    Raises:
        UserError: the package is not installed, or there is no such model.
        CheckpointError: the model's embeddings are not finite.
    """
    package = needed("rapidocr_onnxruntime", PACKAGE, "reading text in pictures")
    reader = package.RapidOCR()
    encoder = None
    if config.model is not None:
        encoder = load_encoder(config.model, pretrained=config.pretrained)
        probe_width(encoder)
    name = f"{PACKAGE} {metadata.version(PACKAGE)}"
    return Scorer(
        schema=SCHEMA if encoder is None else SCHEMA.append(MASKED),
        digest=content_digest("ocr 1", name, "" if encoder is None else encoder.digest),
        batch_size=config.batch_size,
        prepare=lambda content: Picture(content, whole_image(content)),
        score=partial(score, reader=reader, encoder=encoder),
        model=name if encoder is None else f"{name}, {encoder.name}",
    )


def score(
    samples: Sequence[StoredSample],
    pictures: Sequence[Picture],
    *,
    reader: Any,
    encoder: Encoder | None,
) -> Scored:
    """Columns of a batch; the reader takes one picture at a time."""
    found = [read_text(picture.pixels, reader) for picture in pictures]
    captions = [sample.caption for sample in samples]
    masks = [
        text_mask(picture.pixels, boxes)
        for picture, (boxes, _) in zip(pictures, found, strict=True)
    ]
    columns: dict[str, Any] = {
        "text_area": [float(mask.mean()) for mask in masks],
        "text_overlap": [
            overlap(caption, texts) for caption, (_, texts) in zip(captions, found, strict=True)
        ],
    }
    if encoder is not None:
        preprocess = preprocess_for(encoder)
        hidden = [
            preprocess(without_text(picture, boxes, mask))
            for picture, (boxes, _), mask in zip(pictures, found, masks, strict=True)
        ]
        texts_BD = embed_texts(encoder, captions, len(captions))
        columns[MASKED.name] = similarities(encode_pixels(encoder, np.stack(hidden)), texts_BD)
    return Scored(columns=columns)


def read_text(pixels: NDArray[np.uint8], reader: Any) -> tuple[Boxes, list[str]]:
    """Boxes of text and what stands in them."""
    result, _ = reader(np.ascontiguousarray(pixels[..., ::-1]))
    lines = result or []
    return [np.asarray(box, np.float32) for box, _, _ in lines], [text for _, text, _ in lines]


def overlap(caption: str, texts: Sequence[str]) -> float:
    """Share of the caption's distinct words that were read; case and signs do not count."""
    words = set(WORD.findall(caption.lower()))
    if not words:
        return 0.0
    read = WORD.findall(" ".join(texts).lower())
    glued = "".join(read)
    seen = set(read)
    found = [word in seen or (len(word) >= GLUED_CHARS and word in glued) for word in words]
    return sum(found) / len(words)


def text_mask(pixels: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.bool_]:
    """Rows × columns, true where a box is."""
    mask = np.zeros(pixels.shape[:2], np.uint8)
    for box in boxes:
        cv2.fillPoly(mask, [np.rint(box).astype(np.int32)], 1)
    return mask.astype(bool)


def without_text(picture: Picture, boxes: Boxes, mask: NDArray[np.bool_]) -> bytes:
    """The picture, coded, with every box in the mean colour of what is around it."""
    if not boxes:
        return picture.content
    painted = picture.pixels.copy()
    elsewhere = picture.pixels[~mask] if not mask.all() else picture.pixels.reshape(-1, 3)
    for box in boxes:
        rows, columns = _around(box, mask.shape)
        around = picture.pixels[rows, columns][~mask[rows, columns]]
        colour = (around if len(around) else elsewhere).mean(axis=0)
        cv2.fillPoly(painted, [np.rint(box).astype(np.int32)], np.rint(colour).tolist())
    done, content = cv2.imencode(".png", painted[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return content.tobytes()


def _around(box: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a box and its surroundings, within a picture of `shape`."""
    low, high = box.min(axis=0), box.max(axis=0)
    margin = max(2.0, SURROUNDINGS * float(min(high - low)))
    left, top = np.maximum(np.floor(low - margin), 0).astype(int).tolist()
    right, bottom = np.ceil(high + margin).astype(int).tolist()
    return slice(top, min(bottom + 1, shape[0])), slice(left, min(right + 1, shape[1]))
