"""Score a dataset, shard by shard: columns that filters read.

    python -m diagonal_eval.scores clip --dataset out/d --model RUN --name mine
    python -m diagonal_eval.scores clip --dataset out/d --model ViT-B-32 --pretrained b32.pt
    python -m diagonal_eval.scores text --dataset out/d --concepts metadata.json
    python -m diagonal_eval.scores image --dataset out/d
    python -m diagonal_eval.scores safety --dataset out/d
    python -m diagonal_eval.scores ocr --dataset out/d --model RUN

    DATASET/scores/KIND/NAME/SHARD.parquet   uid and the kind's columns, a row per stored sample
    DATASET/embeddings/NAME/SHARD.npz        of `clip`: image, text, uid, source, model

Run again, the command scores what is missing: new shards, half-written tables, and every shard when
the model is another one. To keep both models' scores, give them different names. Without --local
the work is done on Ray.
"""

import logging

from diagonal_infra.cli import packages_of, run_command

with packages_of("eval"):
    from diagonal_eval.scores.config import SCORES, ScoresConfig
    from diagonal_eval.scores.run import write_scores

logger = logging.getLogger(__name__)


def main(config: ScoresConfig) -> None:
    """Score what is not scored yet, and say how much there was.

    Raises:
        UserError: no dataset or model, or a package that is not installed.
        UnitError: some shards failed; the others are done.
        CheckpointError: the model is broken.
    """
    write_scores(config)


if __name__ == "__main__":
    run_command(main, SCORES, description=__doc__)
