"""A dataset in memory but for its pictures, searchable by text.

Shape suffixes: N samples, D embedding width.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from diagonal_data.rows import read_rows, taken_down
from diagonal_eval.config import ExploreConfig
from diagonal_eval.dataset import SUCCESS, Dataset, StoredSample, open_dataset, read_samples
from diagonal_eval.embed import Encoder, embed_texts, load_encoder, read_embeddings
from diagonal_eval.scores.clip import embeddings_path, source_for
from diagonal_eval.zeroshot import normalise
from diagonal_infra import storage
from diagonal_infra.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FailedRow:
    """A candidate that became no sample."""

    uid: str
    url: str
    caption: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Catalogue:
    """A dataset in memory but for its pictures; `images_ND` has a unit row per sample."""

    dataset: Dataset
    encoder: Encoder
    samples: list[StoredSample]
    failed: list[FailedRow]
    images_ND: NDArray[np.float16]

    @property
    def summary(self) -> str:
        """Counts for the page's head."""
        return (
            f"{len(self.samples):,} samples, {len(self.failed):,} failed candidates, "
            f"model at step {self.encoder.step:,}"
        )

    @cached_property
    def sample_of(self) -> dict[str, StoredSample]:
        """Samples by uid."""
        return {sample.uid: sample for sample in self.samples}

    def search(self, query: str, limit: int) -> list[tuple[StoredSample, float]]:
        """The samples nearest to the query, best first; without a query the first ones."""
        if not query:
            return [(sample, float("nan")) for sample in self.samples[:limit]]
        query_D = normalise(embed_texts(self.encoder, [query], 1))[0]
        cosine_N = self.images_ND.astype(np.float32) @ query_D
        best = np.argsort(-cosine_N, kind="stable")[:limit]
        return [(self.samples[index], float(cosine_N[index])) for index in best]


def open_catalogue(config: ExploreConfig) -> Catalogue:
    """Rows and embeddings of every finished shard.

    Raises:
        UserError: a shard has no embeddings, or they are of another model.
    """
    dataset = open_dataset(config.dataset)
    encoder = load_encoder(config.checkpoint)
    samples: list[StoredSample] = []
    images: list[NDArray[np.float16]] = []
    for shard, sha256 in zip(dataset.shards, dataset.sha256s, strict=True):
        path = embeddings_path(config.dataset, config.name, shard)
        arrays = read_embeddings(path) if storage.exists(path) else {}
        if not arrays or str(arrays["source"]) != source_for(encoder, shard, sha256):
            raise UserError(
                f"no embeddings by {config.checkpoint!r} at {path!r}; run 'make scores' with it"
            )
        of_shard = read_samples(dataset, shard)
        present = [not sample.taken_down for sample in of_shard]
        samples += [sample for sample in of_shard if not sample.taken_down]
        if any(present):
            images.append(arrays["image"][present])
    if not images:
        raise UserError(f"dataset {config.dataset!r} has no sample to show")
    return Catalogue(dataset, encoder, samples, read_failed(dataset.root), np.concatenate(images))


def read_failed(root: str) -> list[FailedRow]:
    """The candidates that became no sample, but for those taken down."""
    rows = read_rows(root, ["uid", "url", "caption", "status", "reason", "detail"])
    return [
        FailedRow(
            uid=row["uid"],
            url=row["url"],
            caption=row["caption"],
            reason=row["reason"] or "",
            detail=row["detail"] or "",
        )
        for row, is_gone in zip(rows.to_pylist(), taken_down(root, rows), strict=True)
        if row["status"] != SUCCESS and not is_gone
    ]
