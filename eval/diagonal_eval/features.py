"""Features of evaluation sets, each computed once and kept by what it was computed from.

    FOLDER/KEY/00003.npz     pictures from 3×CHUNK on: embeddings, pooled features, readable or not
    FOLDER/texts-KEY.npz     prompts and captions

KEY is of the weights, the set's content and the transform, or of the weights and the texts.

A chunk is written whole or not at all, so a killed evaluation goes on where it was. With several
ranks, each computes every n-th missing chunk and all read all of them: a picture is never encoded
twice nor padded, and as the chunks do not depend on the number of ranks, neither does any number.

Shape suffixes: N pictures, M texts, B batch, C colours, H and W pixels, D embedding width, P
pooled width.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from diagonal_eval.ahead import Ahead
from diagonal_eval.dataset import content_digest
from diagonal_eval.embed import Encoder, read_embeddings, refuse_broken, write_embeddings
from diagonal_eval.evalset import EvalSet
from diagonal_infra import log, storage, tally
from diagonal_train.distributed import World
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.open_clip_pixels import preprocess_as_open_clip

CHUNK = 2048
"""Pictures of a file; the same for any number of ranks."""
MOST_ON_CPU = {"pictures": 16, "texts": 64}
"""Of a batch. What an encoder computes in between no longer fits into the caches with more, and
beyond some megabytes the allocator gives it back to the system after each layer."""
Floats = NDArray[np.float32]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """One row per picture, in the order of the set."""

    embedding_ND: Floats
    """Of length one; zeros where the picture cannot be decoded."""
    pooled_NP: Floats
    """Before the projection, as it comes."""
    readable_N: NDArray[np.bool_]


class FeatureStore:
    """Computes what is not there yet.

    Args:
        folder: any fsspec path; the ranks of one evaluation share it.
        encoder: of all features.
        batch_size: pictures or texts encoded at a time.
        world: which of the ranks this is; in a process group if there are several.
    """

    def __init__(
        self, folder: str, encoder: Encoder, *, batch_size: int = 256, world: World | None = None
    ) -> None:
        self.encoder = encoder
        self.transform = f"open_clip {encoder.image_size} {encoder.resize}"
        self._folder = folder
        self._batch_sizes = {
            what: min(batch_size, most) if encoder.device.type == "cpu" else batch_size
            for what, most in MOST_ON_CPU.items()
        }
        self._world = world or World()
        self._preprocess = preprocess_as_open_clip(encoder.image_size, encoder.resize)

    def images(self, evalset: EvalSet) -> ImageFeatures:
        """The features of all pictures.

        Raises:
            CheckpointError: a feature is not finite.
        """
        key = content_digest(self.encoder.digest, evalset.digest, self.transform)
        n = len(evalset.keys)
        starts = range(0, n, CHUNK)
        paths = [storage.join(self._folder, key, f"{start // CHUNK:05d}.npz") for start in starts]
        missing = [i for i, path in enumerate(paths) if not storage.exists(path)]
        # Looked at before any rank writes, so that all share out the same chunks.
        self._wait()
        own = missing[self._world.rank :: self._world.world_size]
        with log.progress() as bar:
            todo = sum(min(CHUNK, n - starts[i]) for i in own)
            task = bar.add_task(f"encoding {evalset.name}", total=todo) if todo else None
            for i in own:
                rows = range(starts[i], min(starts[i] + CHUNK, n))
                found = self._encode(evalset, rows)
                write_embeddings(paths[i], **vars(found))
                if task is not None:
                    bar.advance(task, len(rows))
        self._wait()
        parts = [read_embeddings(path) for path in paths]
        found = ImageFeatures(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )
        unreadable = int((~found.readable_N).sum())
        if unreadable:
            logger.warning("pictures not decoded set=%s count=%d", evalset.name, unreadable)
        return found

    def texts(self, texts: Sequence[str]) -> Floats:
        """One row of length one per text, in order; a repeated text is encoded once.

        Raises:
            CheckpointError: a feature is not finite.
        """
        distinct = list(dict.fromkeys(texts))
        digest = content_digest(self.encoder.digest, *distinct)
        path = storage.join(self._folder, f"texts-{digest}.npz")
        if not storage.exists(path) and self._world.is_main:
            write_embeddings(path, embeddings=self._encode_texts(distinct))
        self._wait()
        row_of = {text: row for row, text in enumerate(distinct)}
        return read_embeddings(path)["embeddings"][[row_of[text] for text in texts]]

    def _encode(self, evalset: EvalSet, rows: Sequence[int]) -> ImageFeatures:
        size = self.encoder.image_size
        black = np.zeros((3, size, size), np.uint8)
        pooled, embeddings, readable = [], [], []
        started = time.perf_counter()
        batches = Ahead(evalset.read(rows), self._decode, self._batch_sizes["pictures"])
        for batch in batches:
            pixels_BCHW = np.stack([black if pixels is None else pixels for pixels in batch])
            readable_B = np.array([pixels is not None for pixels in batch])
            with torch.inference_mode():
                images_BCHW = normalised(
                    torch.from_numpy(pixels_BCHW).to(self.encoder.device),
                    mean=self.encoder.mean,
                    std=self.encoder.std,
                )
                features = self.encoder.model.encode_pooled(images_BCHW)
            pooled_BP, unit_BD = (_checked(self.encoder, part) for part in features)
            unit_BD = _unit(unit_BD)
            pooled_BP[~readable_B], unit_BD[~readable_B] = 0, 0
            pooled.append(pooled_BP)
            embeddings.append(unit_BD)
            readable.append(readable_B)
        tally.now().add_model_seconds(time.perf_counter() - started, batches.waited_seconds)
        return ImageFeatures(
            embedding_ND=np.concatenate(embeddings),
            pooled_NP=np.concatenate(pooled),
            readable_N=np.concatenate(readable),
        )

    def _decode(self, content: bytes) -> NDArray[np.uint8] | None:
        try:
            return self._preprocess(content) if content else None
        except ValueError as error:
            logger.debug("picture not decoded bytes=%d error=%s", len(content), error)
            return None

    def _encode_texts(self, texts: Sequence[str]) -> Floats:
        # Alike beginnings together: a batch computes each of them once.
        order = sorted(range(len(texts)), key=texts.__getitem__)
        rows: dict[int, Floats] = {}
        with torch.inference_mode():
            for places in _batches(order, self._batch_sizes["texts"]):
                tokens_BT = self.encoder.tokenizer([texts[i] for i in places])
                features_BD = self.encoder.model.encode_text(tokens_BT.to(self.encoder.device))
                rows.update(zip(places, _unit(_checked(self.encoder, features_BD)), strict=True))
        return np.stack([rows[i] for i in range(len(texts))])

    def _wait(self) -> None:
        if self._world.world_size > 1:
            dist.barrier()


def _batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _unit(rows_BD: Floats) -> Floats:
    # In fp64: the encoder's own fp32 lengths differ from 1 in the last digits.
    wide_BD = rows_BD.astype(np.float64)
    length_B1 = np.linalg.norm(wide_BD, axis=1, keepdims=True)
    return (wide_BD / np.where(length_B1 > 0, length_B1, 1)).astype(np.float32)


def _checked(encoder: Encoder, features_BD: torch.Tensor) -> Floats:
    refuse_broken(encoder, features_BD)
    return features_BD.float().cpu().numpy()
