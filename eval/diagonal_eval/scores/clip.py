"""Similarity of picture and caption by a dual encoder: cosine, and both embeddings beside it.

    DATASET/embeddings/NAME/SHARD.npz     image, text (N×D fp16, unit rows), uid, source, model
                                          (the encoder's digest), model_name (what it was called)
    DATASET/scores/clip/NAME/SHARD.parquet   uid, similarity[, similarity_flipped] (fp32)

A sample that is taken down or whose picture cannot be decoded has embeddings of zeros and NaN.
`similarity_flipped` is the mean of the picture's and its mirror image's cosine (Yu et al., *The
Devil is in the Details*, 2023, arXiv:2309.15954).

Shape suffixes: N samples, B batch, C colours, H and W pixels, D embedding width.
"""

import zipfile
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_eval.dataset import StoredSample, content_digest
from diagonal_eval.embed import (
    PROBE_TEXT,
    Encoder,
    embed_texts,
    encode_pixels,
    load_encoder,
    preprocess_for,
    write_embeddings,
)
from diagonal_eval.scores.config import ClipConfig
from diagonal_eval.scores.scorer import Arrays, Beside, Scored, Scorer, Unit
from diagonal_infra import storage

SIMILARITY = pa.field("similarity", pa.float32())
FLIPPED = pa.field("similarity_flipped", pa.float32())


def build(config: ClipConfig) -> Scorer:
    """The scorer of a model.

    Raises:
        UserError: there is no such model.
        CheckpointError: its embeddings are not finite.
    """
    encoder = load_encoder(config.model, pretrained=config.pretrained)
    width = probe_width(encoder)
    flip = config.flip_average
    return Scorer(
        schema=pa.schema([SIMILARITY, FLIPPED] if flip else [SIMILARITY]),
        digest=content_digest(encoder.digest, "flip") if flip else encoder.digest,
        batch_size=config.batch_size,
        prepare=preprocess_for(encoder),
        score=partial(score, encoder=encoder, flip=flip),
        beside=Beside(
            widths={"image": width, "text": width},
            write=partial(_write_embeddings, config=config, encoder=encoder),
            is_current=partial(_are_embeddings_current, config=config, encoder=encoder),
        ),
        model=encoder.name,
    )


def probe_width(encoder: Encoder) -> int:
    """Width of the embeddings, by trying the model once; raises CheckpointError if it is broken."""
    size = encoder.image_size
    encode_pixels(encoder, np.full((1, 3, size, size), 128, np.uint8))
    return embed_texts(encoder, [PROBE_TEXT], 1).shape[1]


def score(
    samples: Sequence[StoredSample],
    pixels: Sequence[NDArray[np.uint8]],
    *,
    encoder: Encoder,
    flip: bool,
) -> Scored:
    """Cosines and embeddings of a batch."""
    pixels_BCHW = np.stack(pixels)
    images_BD = encode_pixels(encoder, pixels_BCHW)
    texts_BD = embed_texts(encoder, [sample.caption for sample in samples], len(samples))
    columns = {"similarity": similarities(images_BD, texts_BD)}
    if flip:
        mirrored_BD = encode_pixels(encoder, np.ascontiguousarray(pixels_BCHW[..., ::-1]))
        mirrored = similarities(mirrored_BD, texts_BD)
        columns["similarity_flipped"] = (columns["similarity"] + mirrored) * np.float32(0.5)
    return Scored(columns=columns, beside={"image": images_BD, "text": texts_BD})


def similarities(
    images_ND: NDArray[np.float16], texts_ND: NDArray[np.float16]
) -> NDArray[np.float32]:
    """Cosine of each row with its partner, in fp32."""
    return (images_ND.astype(np.float32) * texts_ND.astype(np.float32)).sum(axis=1)


def embeddings_path(dataset: str, name: str, shard: str) -> str:
    """Where a shard's embeddings are."""
    return storage.join(dataset, "embeddings", name, f"{shard}.npz")


def source_for(encoder: Encoder, shard: str, sha256: str) -> str:
    """Names what a shard's embeddings are made from: weights, preprocessing and the tar's bytes."""
    return Unit(shard=shard, sha256=sha256).source(encoder.digest)


def _write_embeddings(
    unit: Unit, uids: list[str], arrays: Arrays, *, config: ClipConfig, encoder: Encoder
) -> None:
    write_embeddings(
        embeddings_path(config.dataset, config.name, unit.shard),
        **arrays,
        uid=np.array(uids, dtype="U32"),
        source=np.array(unit.source(encoder.digest)),
        model=np.array(encoder.digest),
        model_name=np.array(encoder.name),
    )


def _are_embeddings_current(unit: Unit, *, config: ClipConfig, encoder: Encoder) -> bool:
    """Whether the file is whole, which its end says, and of this source."""
    path = embeddings_path(config.dataset, config.name, unit.shard)
    if not storage.exists(path):
        return False
    try:
        with storage.open_read(path) as file, np.load(file, allow_pickle=False) as arrays:
            return str(arrays["source"]) == unit.source(encoder.digest) and "model" in arrays
    except (zipfile.BadZipFile, ValueError, KeyError, OSError):
        return False
