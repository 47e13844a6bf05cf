"""Which embeddings of a dataset are a model's, and their rows.

    DATASET/embeddings/NAME/SHARD.npz   image, text (N×D fp16, a row per stored sample), uid, source

Embeddings are a model's if their source says so: weights, preprocessing and the shard's tar. What
is missing is made by the scorer of `python -m diagonal_eval.scores clip`.

Shape suffixes: N samples of a shard, D embedding width.
"""

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diagonal_data.filters.scan import ahead
from diagonal_data.manifest import read_manifest
from diagonal_eval.dataset import Dataset, content_digest, open_dataset
from diagonal_eval.embed import Encoder
from diagonal_eval.npz import BROKEN, map_array, read_text
from diagonal_eval.scores.clip import embeddings_path, source_for
from diagonal_eval.scores.config import ClipConfig
from diagonal_eval.scores.run import write_scores
from diagonal_infra import storage
from diagonal_infra.errors import UserError

Key = Literal["image", "text"]
VERSION = "1"
"""Of how indexes are built: another one is another digest."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """The embeddings of a dataset's finished shards by one model."""

    dataset: Dataset
    name: str
    states: tuple[str, ...]
    """Of each shard: changes with the model, the tar, and what is taken down from it."""
    samples: int
    """Of all shards, by the manifest."""

    @property
    def folder(self) -> str:
        """Where they are."""
        return self.dataset.path("embeddings", self.name)

    @property
    def digest(self) -> str:
        """Of all states; ends the names of the indexes that were built from these embeddings."""
        return content_digest(VERSION, *self.dataset.shards, *self.states)[:16]

    @property
    def are_indexed(self) -> bool:
        """Whether an index says that they were all there."""
        return bool(storage.list_files(self.folder, f"-{self.digest}.faiss"))

    def rows(self, shard: str, key: Key) -> NDArray[np.floating]:
        """A shard's vectors, mapped where the file is local; raises as `open_rows`."""
        return open_rows(self.dataset.root, self.name, shard, key)

    def uids(self, shard: str) -> list[str]:
        """Whose vectors these are; raises as `open_rows`."""
        return open_rows(self.dataset.root, self.name, shard, "uid").tolist()


def open_rows(dataset: str, name: str, shard: str, key: str) -> NDArray[Any]:
    """An array of a shard's embeddings.

    Raises:
        UserError: there are none, or the file is broken, for instance half written.
    """
    path = embeddings_path(dataset, name, shard)
    remedy = "run 'make scores' again"
    if not storage.exists(path):
        raise UserError(f"shard {shard} has no embeddings {name!r}; {remedy}")
    try:
        with storage.open_read(path) as file, zipfile.ZipFile(file) as archive:
            found = map_array(path, archive, key)
    except BROKEN as error:
        raise UserError(
            f"{path!r} holds no embeddings ({error}); delete it and {remedy}"
        ) from error
    if key != "uid" and (found.ndim != 2 or not np.issubdtype(found.dtype, np.floating)):
        raise UserError(f"{path!r} holds {found.dtype}{found.shape}, not rows of numbers")
    return found


def has_vector(rows_ND: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mask of the rows that are embeddings: finite, and not all zeros."""
    # In fp32: the sum of the squares of large fp16 numbers is infinite.
    length_N = np.einsum("nd,nd->n", rows_ND, rows_ND, dtype=np.float32)
    return np.isfinite(length_N) & (length_N > 0)


def own_embeddings(
    root: str, encoder: Encoder, *, checkpoint: str, name: str, batch_size: int
) -> Embeddings:
    """The model's embeddings of all shards; what is missing is computed, which the log says.

    Raises:
        UserError: no dataset, or the named embeddings are another model's.
        UnitError: some shards could not be embedded.
    """
    dataset = open_dataset(root)
    folder = dataset.path("embeddings")
    known = [each for each in storage.list_folders(folder) if name in ("", each)]
    for each in known:
        found = _embeddings(dataset, each, encoder)
        if found.are_indexed:
            return found  # without a look into every shard's file
    states = {each: _current(dataset, each, encoder) for each in known}
    own = [each for each, current in states.items() if current]
    if name in states and not own and _models(dataset, name) - {encoder.digest}:
        raise UserError(
            f"embeddings {name!r} are of another model than {encoder.name}; give --name another "
            "name, or leave it out"
        )
    best = max(own, key=lambda each: states[each], default=name or _new_name(states, encoder))
    missing = len(dataset.shards) - states.get(best, 0)
    if missing:
        logger.warning(
            "%d of %d shards have no embeddings of %s: computing them now into %s; for many, "
            "'python -m diagonal_eval.scores clip' does it on Ray",
            *(missing, len(dataset.shards), encoder.name, storage.join(folder, best)),
        )
        write_scores(
            ClipConfig(dataset=root, model=checkpoint, name=best, local=True, batch_size=batch_size)
        )
    return _embeddings(dataset, best, encoder)


def _new_name(known: Mapping[str, int], encoder: Encoder) -> str:
    """One that no other model's embeddings have."""
    return "clip" if "clip" not in known else f"clip-{encoder.digest[:8]}"


def _current(dataset: Dataset, name: str, encoder: Encoder) -> int:
    """Shards whose embeddings are the model's, of the tar that is there."""
    wanted = zip(dataset.shards, dataset.sha256s, strict=True)
    sources = ahead(lambda shard: said(dataset.root, name, shard)[0], dataset.shards)
    return sum(
        source == source_for(encoder, shard, sha256)
        for source, (shard, sha256) in zip(sources, wanted, strict=True)
    )


def _models(dataset: Dataset, name: str) -> set[str]:
    return {said(dataset.root, name, shard)[1] for shard in dataset.shards} - {""}


def said(dataset: str, name: str, shard: str) -> tuple[str, str]:
    """Source and model of a shard's embeddings; empty where it has none, or broken ones."""
    path = embeddings_path(dataset, name, shard)
    if not storage.exists(path):
        return "", ""
    try:
        with storage.open_read(path) as file, zipfile.ZipFile(file) as archive:
            return read_text(archive, "source"), read_text(archive, "model")
    except BROKEN:
        return "", ""


def _embeddings(dataset: Dataset, name: str, encoder: Encoder) -> Embeddings:
    shards = read_manifest(dataset.root)["shards"]
    now = {shard["name"]: f"{shard['sha256']} {shard['samples']}" for shard in shards}
    states = [
        f"{source_for(encoder, shard, sha256)} {now[shard]}"
        for shard, sha256 in zip(dataset.shards, dataset.sha256s, strict=True)
    ]
    return Embeddings(
        dataset=dataset,
        name=name,
        states=tuple(states),
        samples=sum(shard["samples"] for shard in shards),
    )
