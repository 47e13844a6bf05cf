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
from diagonal_train.encoders.text_trim import trimmed_length
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.order import STEP_KEY, generator_for


@dataclass(frozen=True, kw_only=True)
class MicroBatches:
    """Parts of one batch, in order; made by `micro_batches`."""

    batch: Batch
    config: TrainConfig
    spans: tuple[slice, ...]
    """Samples of each part."""
    lengths: tuple[int, ...]
    """Tokens that its captions are cut to."""
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.spans)

    def inputs(self, part: int) -> tuple[Tensor, ...]:
        """Images B×C×H×W, tokens B×T and, for patch dropout, noise B×K; sets the random state."""
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
        inputs = images_BCHW, self.batch.tokens[span, : self.lengths[part]]
        return (*inputs, noise_BK) if config.patch_dropout > 0 else inputs


def micro_batches(
    batch: Batch, config: TrainConfig, model: DualEncoder, *, step: int, rank: int
) -> MicroBatches:
    """The batch in parts of `config.micro_batch_size` samples; the last may be smaller."""
    count, context_length = batch.tokens.shape
    size = config.micro_batch_size or count
    spans = tuple(slice(first, min(first + size, count)) for first in range(0, count, size))
    lengths = [context_length] * len(spans)
    if model.trims_text:
        needed_B = model.text_lengths(batch.tokens)
        # One look at the device for all parts.
        longest = torch.stack([needed_B[span].max() for span in spans]).tolist()
        lengths = [trimmed_length(n, context_length) for n in longest]
    rng = generator_for(config.seed, STEP_KEY, step, rank)
    return MicroBatches(
        batch=batch,
        config=config,
        spans=spans,
        lengths=tuple(lengths),
        seeds=tuple(rng.integers(2**63, size=len(spans)).tolist()),
    )
