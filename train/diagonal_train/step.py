"""One optimizer step on one global batch, the same on every rank.

    prepare images ─► embed ─► loss over all ranks ─► gradients ─► agree ─► update

Random numbers are set anew from (seed, step, rank) before each step, so no generator's state has to
be kept.

Shape suffixes: B samples of this rank, C colours, H and W pixels, D embedding width.
"""

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

from diagonal_train.augment import prepare_images
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, sum_over_ranks
from diagonal_train.loss import contrastive_loss
from diagonal_train.optimizer import lr_at, set_lr, update
from diagonal_train.spikes import must_skip
from diagonal_train.start import Start
from diagonal_train.state import TrainState
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.order import STEP_KEY, generator_for
from diagonal_train.streaming.samples import CAUSES


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that the steps of one process need."""

    config: TrainConfig
    world: World
    start: Start
    stream: LaneStream
    data_digest: str
    state: TrainState
    replica: nn.Module
    """The model, wrapped so that gradients are averaged over ranks."""


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """What one step gave, over all ranks."""

    loss: float
    lr: float
    grad_norm: float
    stop: bool
    """Whether some rank was asked to stop."""
    replaced: Counter[str]
    skipped: bool = False
    """Whether nothing was updated."""


def train_step(job: Job, batch: Batch, step: int, *, stop: bool) -> StepStats:
    """One optimizer step on one global batch, which is on the device.

    If the loss or a gradient is not finite, or a spike, nothing is updated.
    """
    config, device = job.config, job.world.device
    rng = generator_for(config.seed, STEP_KEY, step, job.world.rank)
    torch.manual_seed(int(rng.integers(2**63)))
    lr = lr_at(step, config=config.optimizer, total_steps=config.total_steps)
    set_lr(job.state.optimizer, lr)
    images_BCHW = prepare_images(
        batch.images,
        batch.noise,
        config.augment,
        mean=config.model.mean,
        std=config.model.std,
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        image_BD, text_BD, logit_scale = job.replica(images_BCHW, batch.tokens)
    loss = contrastive_loss(image_BD, text_BD, logit_scale)
    job.state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    longest = config.optimizer.clip_grad_norm or math.inf
    grad_norm = nn.utils.clip_grad_norm_(job.state.model.parameters(), longest)
    counts = [batch.replaced[cause] for cause in CAUSES]
    values = [loss.item(), grad_norm.item(), stop, *counts]
    own = torch.tensor(values, dtype=torch.float64, device=device)
    total_loss, total_norm, asked, *counts = sum_over_ranks(own).tolist()
    mean_loss, mean_norm = total_loss / job.world.world_size, total_norm / job.world.world_size
    skipped = must_skip(job.state.meters, config.recovery, loss=mean_loss, grad_norm=mean_norm)
    if not skipped:
        update(job.state)
    return StepStats(
        loss=mean_loss,
        lr=lr,
        grad_norm=mean_norm,
        stop=asked > 0,
        skipped=skipped,
        replaced=Counter({c: int(n) for c, n in zip(CAUSES, counts, strict=True) if n}),
    )
