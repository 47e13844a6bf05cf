"""The one door to diagonal_train's models: a name becomes an encoder of pictures and texts.

    bytes ─ decode (threads) ─ uint8 CHW ─ stack, normalise on the device ─ encode_image ─ fp16 rows
    texts ─ tokenise ─ encode_text ─ fp16 rows

Rows are normalised in fp32 and then rounded to fp16, cached or not, so that both give the same
numbers. A picture that cannot be decoded becomes a row of zeros: its place in the order stays. A
model whose rows are not finite is refused here, so that it gets no numbers at all.

Shape suffixes: B batch, C channels, H height, W width, T tokens, N pictures or texts, D embedding
width.
"""

import io
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diagonal_eval.ahead import Ahead
from diagonal_eval.dataset import content_digest
from diagonal_eval.model_names import OPEN_CLIP, open_clip_name, shown_name, split_checkpoint
from diagonal_infra import log, storage
from diagonal_infra.errors import CheckpointError
from diagonal_train.encoders.load import load_model, load_pretrained
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.open_clip_pixels import Resize, preprocess_as_open_clip
from diagonal_train.streaming.transforms import preprocess_for_eval

Halves = NDArray[np.float16]
OnBatch = Callable[[int], object]
PROBE_TEXT = "a photo of 2 cats, ça va?"
"""Its tokens stand for the tokenizer in an encoder's digest."""
logger = logging.getLogger(__name__)


class DualEncoderLike(Protocol):
    """What evaluation needs of a model."""

    def encode_image(self, images_BCHW: Tensor) -> Tensor: ...
    def encode_pooled(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]: ...
    def encode_text(self, tokens_BT: Tensor) -> Tensor: ...
    def state_dict(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A model in eval mode with its preprocessing; `digest` names weights and preprocessing."""

    name: str
    """Run and step, or the name in open_clip, for messages."""
    model: DualEncoderLike
    tokenizer: Callable[[list[str]], Tensor]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    step: int
    digest: str
    device: torch.device
    resize: Resize = field(default_factory=Resize)
    """How published numbers of the model were measured."""
    logit_scale: float = 100.0
    """What cosines are multiplied by for probabilities; learned."""


def load_encoder(model: str, *, step: int | None = None, pretrained: str | None = None) -> Encoder:
    """The encoder of a run, of one of its checkpoints, or of a model of open_clip's.

    The model goes to CUDA where there is a device.

    Args:
        model: a run folder (its last checkpoint counts), RUN/checkpoints/step-00001000, or a name
            as `open_clip_name` knows it: `open_clip:ViT-B-32:b32.pt`, `open_clip:ViT-B-32/openai`.
        step: of the run, in place of the last; 0 is the initial weights.
        pretrained: the weights of a model that is named without.

    Raises:
        UserError: there is no such run, checkpoint, model or weights.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    published = open_clip_name(model, pretrained)
    if published is None:
        run, named_step = split_checkpoint(model)
        loaded = load_model(run, named_step if step is None else step, device)
        name = f"{run} at step {loaded.step}"
    else:
        loaded = load_pretrained(published, device)
        name = f"{OPEN_CLIP}{shown_name(published)}"
    loaded.model.share_prefixes = True
    return build_encoder(
        loaded.model,
        name=name,
        tokenizer=loaded.tokenizer,
        image_size=loaded.image_size,
        mean=loaded.mean,
        std=loaded.std,
        step=loaded.step,
        device=device,
        resize=loaded.resize,
    )


def build_encoder(
    model: DualEncoderLike,
    *,
    name: str,
    tokenizer: Callable[[list[str]], Tensor],
    image_size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    step: int,
    device: torch.device,
    resize: Resize | None = None,
) -> Encoder:
    """An encoder with its digest computed; the model is in eval mode and on the device."""
    tokens = tokenizer([PROBE_TEXT]).numpy().tobytes()
    resize = resize or Resize()
    parts: list[str | bytes] = [f"{image_size} {mean} {std}", tokens]
    if resize != Resize():
        parts.append(str(resize))
    scale = Encoder.logit_scale
    for key, value in model.state_dict().items():
        if key.endswith("logit_scale"):
            scale = math.exp(float(value))
        if isinstance(value, Tensor):
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            parts += [f"{key} {tuple(value.shape)} {value.dtype}", content.numpy().tobytes()]
    return Encoder(
        name=name,
        model=model,
        tokenizer=tokenizer,
        image_size=image_size,
        mean=mean,
        std=std,
        step=step,
        digest=content_digest(*parts),
        device=device,
        resize=resize,
        logit_scale=scale,
    )


def preprocess_for(encoder: Encoder) -> Callable[[bytes], NDArray[np.uint8]]:
    """Encoded bytes to the 3×H×W uint8 that the model takes, in the way it was measured with.

    The function raises DecodeError if the bytes are no whole image, or one too large.
    """
    if encoder.resize == Resize():
        return preprocess_for_eval(encoder.image_size)
    return preprocess_as_open_clip(encoder.image_size, encoder.resize)


def embed_images(
    encoder: Encoder,
    images: Iterable[bytes],
    batch_size: int,
    on_batch: OnBatch = lambda _: None,
) -> Halves:
    """One row per picture, in order; decoding of the next batch overlaps encoding of this one.

    Raises:
        CheckpointError: a row is not finite.
    """
    rows: list[Halves] = []
    preprocess = preprocess_for(encoder)
    black = np.zeros((3, encoder.image_size, encoder.image_size), np.uint8)

    def decode(image: bytes) -> NDArray[np.uint8] | None:
        try:
            return preprocess(image) if image else None
        except ValueError as error:
            logger.warning("picture not decoded bytes=%d error=%s", len(image), error)
            return None

    for batch in Ahead(images, decode, batch_size):
        pixels_BCHW = np.stack([black if pixels is None else pixels for pixels in batch])
        rows_BD = encode_pixels(encoder, pixels_BCHW)
        rows_BD[[pixels is None for pixels in batch]] = 0
        rows.append(rows_BD)
        on_batch(len(batch))
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.float16)


def encode_pixels(encoder: Encoder, pixels_BCHW: NDArray[np.uint8]) -> Halves:
    """One row per picture of a batch that is decoded.

    Raises:
        CheckpointError: a row is not finite.
    """
    with torch.inference_mode():
        images_BCHW = normalised(
            torch.from_numpy(pixels_BCHW).to(encoder.device), mean=encoder.mean, std=encoder.std
        )
        return _as_halves(encoder, encoder.model.encode_image(images_BCHW))


def embed_texts(
    encoder: Encoder,
    texts: Sequence[str],
    batch_size: int,
    on_batch: OnBatch = lambda _: None,
) -> Halves:
    """One row per text, in order; a repeated text is encoded once.

    Raises:
        CheckpointError: a row is not finite.
    """
    distinct = list(dict.fromkeys(texts))
    rows: list[Halves] = []
    with torch.inference_mode():
        for start in range(0, len(distinct), batch_size):
            batch = distinct[start : start + batch_size]
            tokens_BT = encoder.tokenizer(batch).to(encoder.device)
            rows.append(_as_halves(encoder, encoder.model.encode_text(tokens_BT)))
            on_batch(len(batch))
    row_of = {text: row for row, text in enumerate(distinct)}
    if not rows:
        return np.zeros((0, 0), np.float16)
    return np.concatenate(rows)[[row_of[text] for text in texts]]


def cached(path: str, total: int, name: str, compute: Callable[[OnBatch], Halves]) -> Halves:
    """The embeddings in `path`; computed behind a progress bar and written whole if not there."""
    if storage.exists(path):
        return read_embeddings(path)["embeddings"]
    with log.progress() as bar:
        task = bar.add_task(f"embedding {name}", total=total)
        rows_ND = compute(lambda count: bar.advance(task, count))
    write_embeddings(path, embeddings=rows_ND)
    return rows_ND


def read_embeddings(path: str) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file by name."""
    with np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def write_embeddings(path: str, **arrays: NDArray[Any]) -> None:
    """An npz file that appears whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]  # numpy's stub takes the arrays for allow_pickle
    storage.write_bytes(path, buffer.getvalue())


def refuse_broken(encoder: Encoder, features_BD: Tensor) -> None:
    """Raise CheckpointError if a feature is not finite: such a model gets no numbers at all."""
    if not features_BD.isfinite().all():
        raise CheckpointError(
            f"the model of {encoder.name} gives embeddings that are not finite: its weights are "
            "broken; name an earlier checkpoint (RUN/checkpoints/step-…) or train again"
        )


def _as_halves(encoder: Encoder, features_BD: Tensor) -> Halves:
    unit_BD = torch.nn.functional.normalize(features_BD.float(), dim=-1)
    refuse_broken(encoder, unit_BD)
    return unit_BD.half().cpu().numpy()
