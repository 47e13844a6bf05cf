"""Score a dataset with a model, shard by shard: cosine of each image and its caption.

    python -m diagonal_eval.scores demo --dataset out/demo/dataset --checkpoint out/demo/run

    DATASET/embeddings/NAME/SHARD.npz     image, text (fp16, unit rows), uid, source; in the
                                          order of the shard's success rows
    DATASET/scores/clip/NAME/SHARD.parquet   uid, similarity (fp32): a score set

A picture that is taken down or cannot be decoded has an embedding of zeros and the score NaN.

A shard is done if its score table, written last, names the same source: model, preprocessing, tar.
Running again finishes the rest; a retrained model scores every shard again. Files appear whole.

Shape suffixes: N samples of a shard, D embedding width.
"""

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.score_sets import ScoreSet
from diagonal_eval.config import ScoresConfig
from diagonal_eval.dataset import (
    Dataset,
    content_digest,
    iterate_images,
    open_dataset,
    read_samples,
)
from diagonal_eval.embed import Encoder, embed_images, embed_texts, load_encoder, write_embeddings
from diagonal_eval.recipes import SCORES
from diagonal_infra import log, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import CheckpointError, UnitError

SCORES_SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)
logger = logging.getLogger(__name__)


def main(config: ScoresConfig) -> None:
    """Score what is not scored yet, and say how much there was.

    Raises:
        UnitError: some shards failed; the others are done.
        CheckpointError: the model is broken.
    """
    dataset = open_dataset(config.dataset)
    storage.check_writable(score_set(dataset, config.name).folder)
    encoder = load_encoder(config.checkpoint)
    scored, failed = score_dataset(dataset, encoder, config)
    done = len(dataset.shards) - scored - len(failed)
    logger.info("scored shards=%d already_done=%d failed=%d", scored, done, len(failed))
    if failed:
        raise UnitError(f"{len(failed)} shards failed ({', '.join(failed[:5])}); run again")


def score_dataset(
    dataset: Dataset, encoder: Encoder, config: ScoresConfig
) -> tuple[int, list[str]]:
    """Number of shards scored now, and the names of those that failed."""
    scored, failed = 0, []
    with log.progress() as bar:
        task = bar.add_task("scoring shards", total=len(dataset.shards))
        for shard, sha256 in zip(dataset.shards, dataset.sha256s, strict=True):
            source = source_for(encoder, shard, sha256)
            try:
                if not is_scored(dataset, config.name, shard, source):
                    score_shard(dataset, encoder, config, shard, source)
                    scored += 1
            except CheckpointError:
                raise  # it is the model's fault, so no shard can be scored
            except Exception:
                logger.exception("shard not scored shard=%s", shard)
                failed.append(shard)
            bar.advance(task)
    return scored, failed


def source_for(encoder: Encoder, shard: str, sha256: str) -> str:
    """Names what a shard's scores are made from: weights, preprocessing and the tar's bytes."""
    return content_digest(encoder.digest, shard, sha256)


def is_scored(dataset: Dataset, name: str, shard: str, source: str) -> bool:
    """Whether both files of the shard are there and come from this source."""
    has_embeddings = storage.exists(embeddings_path(dataset, name, shard))
    return has_embeddings and score_set(dataset, name).is_current(shard, source)


def score_shard(
    dataset: Dataset, encoder: Encoder, config: ScoresConfig, shard: str, source: str
) -> None:
    """Embed and score one shard; the score table is written last, so it means both are there."""
    samples = read_samples(dataset, shard)
    images_ND = embed_images(encoder, iterate_images(dataset, samples), config.batch_size)
    texts_ND = embed_texts(encoder, [sample.caption for sample in samples], config.batch_size)
    uids = [sample.uid for sample in samples]
    write_embeddings(
        embeddings_path(dataset, config.name, shard),
        image=images_ND,
        text=texts_ND,
        uid=np.array(uids, dtype="U32"),
        source=np.array(source),
    )
    columns = {"uid": uids, "similarity": similarities(images_ND, texts_ND)}
    table = pa.table(columns, schema=SCORES_SCHEMA)
    score_set(dataset, config.name).write(shard, table, source)


def similarities(
    images_ND: NDArray[np.float16], texts_ND: NDArray[np.float16]
) -> NDArray[np.float32]:
    """Cosine of each row with its partner in fp32; NaN where the picture has no embedding."""
    cosine_N = (images_ND.astype(np.float32) * texts_ND.astype(np.float32)).sum(axis=1)
    return np.where(images_ND.any(axis=1), cosine_N, np.float32("nan")).astype(np.float32)


def score_set(dataset: Dataset, name: str) -> ScoreSet:
    """The tables of similarities by the model of that name."""
    return ScoreSet(dataset=dataset.root, kind="clip", name=name)


def embeddings_path(dataset: Dataset, name: str, shard: str) -> str:
    """Where a shard's embeddings are."""
    return dataset.path("embeddings", name, f"{shard}.npz")


if __name__ == "__main__":
    run_command(main, SCORES, description=__doc__)
