"""A dataset of ours as a retrieval set: each stored picture and its caption."""

import logging
from collections.abc import Iterator, Sequence

from diagonal_eval.dataset import content_digest, iterate_images, open_dataset, read_all_samples
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.found import FoundSet
from diagonal_infra.errors import UserError

logger = logging.getLogger(__name__)


def find_own_shards(dataset: str, split: str) -> FoundSet:
    """Every sample that is not taken down, in shard and row order; a dataset has one split, test.

    Raises:
        AbsentSetError: there is no dataset, or another split is asked for.
    """
    if split != "test":
        raise AbsentSetError(f"the dataset {dataset!r} has no splits, so there is no {split!r}")
    try:
        opened = open_dataset(dataset)
    except UserError as error:
        raise AbsentSetError(str(error)) from error
    stored = read_all_samples(opened)
    samples = [sample for sample in stored if sample.caption.strip()]
    if len(samples) < len(stored):
        left_out = len(stored) - len(samples)
        logger.warning("samples without a caption left out set=%s count=%d", dataset, left_out)
    built = dict(zip(opened.shards, opened.sha256s, strict=True))

    def read(rows: Sequence[int]) -> Iterator[bytes]:
        return iterate_images(opened, (samples[row] for row in rows))

    return FoundSet(
        place=dataset,
        kind="retrieval",
        keys=tuple(sample.uid for sample in samples),
        picture_digests=tuple(
            content_digest(built[s.shard], str(s.tar_offset), str(s.tar_bytes)) for s in samples
        ),
        read=read,
        captions=tuple((sample.caption,) for sample in samples),
    )
