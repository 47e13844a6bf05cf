"""A rank's batch in parts, each made ready for the encoders when its turn comes.

    uint8 images, tokens, noise ─► cut ─► augment, normalise; cut captions ─► the encoders' inputs

Float images exist of one part at a time. A part asked for again is the same to the bit, and so is
the random state that it sets: it follows from seed, step, rank and part.

Shape suffixes: B samples, C colours, H and W pixels, T tokens, K uniforms.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diagonal_train.augment import prepare_images
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.encoders.text_trim import Captions, cut_captions
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.order import STEP_KEY, generator_for


@dataclass(frozen=True, kw_only=True)
class MicroBatches:
    """Parts of one batch, in order; made by `micro_batches`."""

    batch: Batch
    config: TrainConfig
    spans: tuple[slice, ...]
    """Samples of each part."""
    lengths_B: Tensor | None
    """Tokens of each caption, on the CPU; None if captions are not cut."""
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.spans)

    def inputs(self, part: int) -> tuple[Tensor | Captions, ...]:
        """Images B×C×H×W, captions and, for patch dropout, noise B×K; sets the random state."""
        torch.manual_seed(self.seeds[part])
        span, config = self.spans[part], self.config
        noise_BK = self.batch.noise[span]
        images_BCHW = prepare_images(
            self.batch.images[span],
            noise_BK,
            config.augment,
            mean=config.model.mean,
            std=config.model.std,
        )
        inputs = images_BCHW, self._captions(span)
        return (*inputs, noise_BK) if config.patch_dropout > 0 else inputs

    def _captions(self, span: slice) -> Tensor | Captions:
        tokens_BT = self.batch.tokens[span]
        if self.lengths_B is None:
            return tokens_BT
        grouped = self.config.parallel.kind == "ddp"
        return cut_captions(tokens_BT, self.lengths_B[span], grouped=grouped)


def micro_batches(
    batch: Batch, config: TrainConfig, model: DualEncoder, *, step: int, rank: int
) -> MicroBatches:
    """The batch in parts of `config.micro_batch_size` samples; the last may be smaller."""
    count = len(batch.tokens)
    size = config.micro_batch_size or count
    spans = tuple(slice(first, min(first + size, count)) for first in range(0, count, size))
    rng = generator_for(config.seed, STEP_KEY, step, rank)
    return MicroBatches(
        batch=batch,
        config=config,
        spans=spans,
        # One look at the device for all parts.
        lengths_B=model.text_lengths(batch.tokens).cpu() if model.trims_text else None,
        seeds=tuple(rng.integers(2**63, size=len(spans)).tolist()),
    )
