"""One optimizer step on one global batch, the same on every rank.

    prepare images ─► embed ─► loss over all ranks ─► gradients ─► agree ─► update

Random numbers are set anew from (seed, step, rank) before each step, so no generator's state has to
be kept.

Shape suffixes: B samples of this rank, C colours, H and W pixels, D embedding width.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

import torch
from torch import Tensor, nn

from diagonal_infra import storage
from diagonal_infra.errors import DiagonalError
from diagonal_train.augment import prepare_images
from diagonal_train.checkpoint import Saver
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World, from_all, sum_over_ranks
from diagonal_train.loss import contrastive_loss
from diagonal_train.optimizer import lr_at, set_lr, update
from diagonal_train.parallel import clip_grad_norm
from diagonal_train.start import Start
from diagonal_train.state import TrainState
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.order import STEP_KEY, generator_for
from diagonal_train.streaming.samples import CAUSES

UIDS_IN_MESSAGE = 8


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
    saver: Saver


@dataclass(frozen=True, kw_only=True)
class StepStats:
    """What one step gave, over all ranks."""

    loss: float
    lr: float
    grad_norm: float
    stop: bool
    """Whether some rank was asked to stop."""
    replaced: Counter[str]
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage of the step, of this rank."""
    features: tuple[Tensor, Tensor] | None = None
    """Image and text embeddings of this rank's samples, detached."""


def train_step(job: Job, batch: Batch, step: int, *, stop: bool) -> StepStats:
    """One optimizer step on one global batch, which is on the device.

    Raises:
        DiagonalError: the loss or a gradient is not finite; the weights are still those before.
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
    grad_norm = clip_grad_norm(job.state.model.parameters(), longest)
    counts = [batch.replaced[cause] for cause in CAUSES]
    own = torch.tensor([loss.item(), stop, *counts], dtype=torch.float64, device=device)
    total, asked, *counts = sum_over_ranks(own).tolist()
    mean_loss = total / job.world.world_size
    if not (math.isfinite(mean_loss) and math.isfinite(grad_norm)):
        _stop_non_finite(job, batch, step, mean_loss)
    update(job.state)
    return StepStats(
        loss=mean_loss,
        lr=lr,
        grad_norm=grad_norm.item(),
        stop=asked > 0,
        replaced=Counter({c: int(n) for c, n in zip(CAUSES, counts, strict=True) if n}),
        features=(image_BD.detach(), text_BD.detach()),
    )


def _stop_non_finite(job: Job, batch: Batch, step: int, loss: float) -> NoReturn:
    uids = [uid for part in from_all(batch.uids) for uid in part]
    path = storage.join(job.config.run, f"nonfinite-step-{step + 1:08d}.json")
    if job.world.is_main:
        storage.write_bytes(path, (json.dumps(uids) + "\n").encode())
    raise DiagonalError(
        f"loss {loss} or its gradient is not finite at step {step + 1}; "
        f"uids {', '.join(uids[:UIDS_IN_MESSAGE])} … ({len(uids)} in {path}); look at "
        "these samples, or start a new --run with a lower --optimizer.lr or a clipped gradient "
        "(--optimizer.clip-grad-norm 1)"
    )
