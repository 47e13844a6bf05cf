"""A dataset's embeddings as `make scores` wrote them, checked against its rows.

    DATASET/embeddings/NAME/SHARD.npz    image (N×D), uid (N), source; model, where the writer says

A row of zeros, or one that is not finite, is a picture without an embedding.

Shape suffixes: N samples, D embedding width.
"""

import io
import logging
import zipfile
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from diagonal_data.dedup.stored_rows import StoredRows
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Rows of length 1, or of zeros where there is no embedding."""

    image_ND: NDArray[np.float16]
    uids: pa.Array
    model: str
    """What the writer says of the model; the set's name where it says nothing."""
    source: str
    """What they were computed of."""


def read_shard_embeddings(dataset: str, name: str, shard: str) -> Embeddings:
    """The embeddings of one shard.

    Raises:
        UserError: there are none, or the file is broken.
    """
    path = storage.join(dataset, "embeddings", name, f"{shard}.npz")
    if not storage.exists(path):
        raise UserError(
            f"no embeddings at {path!r}; compute them with 'make scores', or check --embeddings"
        )
    return read_embeddings(path, "uid", name)


def read_embeddings(path: str, rows_key: str, name: str) -> Embeddings:
    """Embeddings of any npz file whose rows are named by its array `rows_key`.

    Raises:
        UserError: the file is broken or has not one name per row.
    """
    try:
        with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as arrays:
            image_ND, rows = arrays["image"], arrays[rows_key]
            said = {key: str(arrays[key]) for key in ("model", "source") if key in arrays}
    except (zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise UserError(f"{path!r} holds no embeddings ({error}); compute them again") from error
    if image_ND.ndim != 2 or len(image_ND) != len(rows):
        raise UserError(
            f"{path!r} has {len(rows)} names for rows of shape {image_ND.shape}; compute them again"
        )
    return Embeddings(
        image_ND=_normalised(image_ND, path),
        uids=pa.array(rows.tolist(), pa.string()),
        model=said.get("model", name),
        source=said.get("source", ""),
    )


def embedding_sources(dataset: str, name: str, shards: list[str]) -> list[str]:
    """What each shard's embeddings were computed of; raises as `read_shard_embeddings`."""
    return [embedding_source(dataset, name, shard) for shard in shards]


def embedding_source(dataset: str, name: str, shard: str) -> str:
    """Read without the rows; a file that does not say is known by its size."""
    path = storage.join(dataset, "embeddings", name, f"{shard}.npz")
    if not storage.exists(path):
        raise UserError(
            f"no embeddings at {path!r}; compute them with 'make scores', or check --embeddings"
        )
    try:
        with storage.open_read(path) as file, np.load(file, allow_pickle=False) as arrays:
            found = {key: str(arrays[key]) for key in ("model", "source") if key in arrays}
    except (zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise UserError(f"{path!r} holds no embeddings ({error}); compute them again") from error
    return f"{found} {storage.size(path)}"


def read_all(stored: StoredRows, dataset: str, name: str) -> NDArray[np.float16]:
    """The embeddings of all rows; of taken-down ones zeros.

    Raises:
        UserError: a shard has none, or they are of other rows, or of another model than the first.
    """
    parts: list[Embeddings] = []
    with log.progress() as bar:
        for shard in bar.track(list(stored.counts), description="reading embeddings"):
            found = read_shard_embeddings(dataset, name, shard)
            check_rows(found, stored.table["uid"][stored.of_shard(shard)], name, shard)
            first = parts[0] if parts else found
            ours, theirs = _model_of(found), _model_of(first)
            if ours != theirs:
                raise UserError(
                    f"embeddings {name!r} of shard {shard} are of {ours}, those of the first shard "
                    f"of {theirs}; compute them again with one model"
                )
            parts.append(found)
    image_ND = np.concatenate([part.image_ND for part in parts])
    image_ND[~stored.present] = 0
    return image_ND


def check_rows(found: Embeddings, uids: pa.ChunkedArray, name: str, shard: str) -> None:
    """Raises UserError if the embeddings are not of these rows."""
    if not uids.equals(pa.chunked_array([found.uids])):
        raise UserError(
            f"embeddings {name!r} of shard {shard} are of other rows; compute them again"
        )


def _model_of(found: Embeddings) -> str:
    return f"model {found.model!r}, width {found.image_ND.shape[1]}"


def _normalised(image_ND: np.ndarray, path: str) -> NDArray[np.float16]:
    rows_ND = image_ND.astype(np.float32)
    finite_N = np.isfinite(rows_ND).all(axis=1)
    if not finite_N.all():
        logger.warning("rows not finite, taken as none path=%s rows=%d", path, (~finite_N).sum())
        rows_ND[~finite_N] = 0
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return (rows_ND / np.where(length_N1 == 0, 1, length_N1)).astype(np.float16)
