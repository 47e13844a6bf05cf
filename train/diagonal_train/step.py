"""One optimizer step on one global batch, the same on every rank.

    micro-batches ─► embed ─► loss over all ranks ─► gradients ─► agree ─► update

Random numbers are set anew from (seed, step, rank, micro-batch), so no generator's state has to be
kept.

Shape suffixes: B samples of this rank, G samples of all ranks, T tokens.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from diagonal_train import gradient_cache
from diagonal_train.checkpoint import Saver
from diagonal_train.config.train import TrainConfig
from diagonal_train.distill import teacher_of
from diagonal_train.distributed import World, sum_over_ranks
from diagonal_train.encoders.precision import autocast
from diagonal_train.loss import contrastive_loss, distilled_loss
from diagonal_train.micro_batches import MicroBatches, micro_batches
from diagonal_train.parallel import clip_grad_norm
from diagonal_train.rank_rows import RankRows
from diagonal_train.recovering import out_of_memory
from diagonal_train.recovering.spikes import must_skip
from diagonal_train.start import Start
from diagonal_train.state import TrainState
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.lanes import LaneStream
from diagonal_train.streaming.order import STEP_KEY, generator_for
from diagonal_train.streaming.samples import CAUSES
from diagonal_train.updating import loss_scale
from diagonal_train.updating.ema import ema_decay_at
from diagonal_train.updating.lr_schedule import lr_at
from diagonal_train.updating.optimizer import set_lr, update
from diagonal_train.watching.stage_clock import StageClock

Features = tuple[Tensor, Tensor]
"""Image and text embeddings."""
LOSS_PARTS = ("contrastive_loss", "distillation_loss")


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
    clock: StageClock = field(default_factory=StageClock)


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
    duplicate_captions: int = 0
    """Samples whose caption another sample of the batch has: false negatives of the loss."""
    seconds: dict[str, float] = field(default_factory=dict)
    """This rank's, by stage; see stage_clock.py."""
    features: Features | None = None
    """Embeddings of this rank's samples, detached."""
    parts: dict[str, float] = field(default_factory=dict)
    """What the loss is made of, by name, if there is a teacher."""


def train_step(job: Job, batch: Batch, step: int, *, stop: bool) -> StepStats:
    """One optimizer step on one global batch, which is on the device.

    If the loss or a gradient is not finite, or a spike, nothing is updated.

    Raises:
        DiagonalError: memory does not suffice; the weights are still those before.
    """
    config, device = job.config, job.world.device
    lr = lr_at(step, config=config.optimizer, total_steps=config.total_steps)
    set_lr(job.state.optimizer, lr)
    with out_of_memory.explained(config, len(batch.uids)):
        parts = micro_batches(batch, config, job.state.model, step=step, rank=job.world.rank)
        found = _gradients(job, parts)
    counts = [batch.replaced[cause] for cause in CAUSES]
    values = [found.loss.item(), found.grad_norm, stop, *counts, *found.parts.tolist()]
    own, ranks = torch.tensor(values, dtype=torch.float64, device=device), job.world.world_size
    total_loss, total_norm, asked, *rest = sum_over_ranks(own).tolist()
    mean_loss, mean_norm = total_loss / ranks, total_norm / ranks
    skipped = must_skip(job.state.meters, config.recovery, loss=mean_loss, grad_norm=mean_norm)
    if not skipped:
        with job.clock.stage("optimizer"), out_of_memory.explained(config, len(batch.uids)):
            update(job.state, ema_decay=ema_decay_at(step, config.ema_decay))
    return StepStats(
        loss=mean_loss,
        lr=lr,
        grad_norm=mean_norm,
        stop=asked > 0,
        skipped=skipped,
        replaced=Counter({c: int(n) for c, n in zip(CAUSES, rest, strict=False) if n}),
        duplicate_captions=_duplicate_captions(batch.tokens, job.world),
        seconds=job.clock.take(),
        features=found.features,
        parts={p: n / ranks for p, n in zip(LOSS_PARTS, rest[len(CAUSES) :], strict=False)},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """Of this rank; its gradients are in place."""

    loss: Tensor
    features: Features
    parts: Tensor
    """Of the loss, in the order of LOSS_PARTS; empty without a teacher."""
    grad_norm: float = math.nan


def _gradients(job: Job, parts: MicroBatches) -> _Found:
    """The loss and the norm of all gradients, which are in place and bounded.

    In fp16 it is done again with a smaller loss scale until no gradient overflows.
    """
    config, meters = job.config, job.state.meters
    parameters = list(job.state.model.parameters())
    longest = config.optimizer.clip_grad_norm or math.inf
    while True:
        job.state.optimizer.zero_grad(set_to_none=True)
        scale = loss_scale.loss_scale(meters) if config.precision == "fp16" else 1.0
        found = _backward(job, parts, scale)
        if config.precision == "fp16":
            loss_scale.unscale((p.grad for p in parameters), scale)
        grad_norm = clip_grad_norm(parameters, longest).item()
        if config.precision != "fp16":
            return replace(found, grad_norm=grad_norm)
        if math.isfinite(grad_norm):
            loss_scale.went_well(meters)
        if math.isfinite(grad_norm) or not loss_scale.shrink(meters):
            return replace(found, loss=found.loss / scale, grad_norm=grad_norm)


def _backward(job: Job, parts: MicroBatches, scale: float) -> _Found:
    """This rank's loss times `scale`; gradients are added to the parameters'."""
    config, clock, device_type = job.config, job.clock, job.world.device.type

    def embed(part: int) -> tuple[Tensor, ...]:
        with clock.stage("prepare"):
            inputs = parts.inputs(part)
        # Entered anew for each pass: inside, weights cast without a graph would serve again.
        with clock.stage("forward"), autocast(config.precision, device_type):
            return job.replica(*inputs)

    seen: list[Features] = []
    shown: list[Tensor] = []
    teacher = teacher_of(parts.batch, config)

    def loss_of(*outputs: Tensor) -> Tensor:
        seen.append((outputs[0].detach(), outputs[1].detach()))
        if teacher is None:
            loss = contrastive_loss(*outputs, kind=config.loss, tile=config.loss_tile)
        else:
            image_BD, text_BD, logit_scale = outputs
            loss, *of_loss = distilled_loss(
                image_BD, text_BD, logit_scale, teacher, config.loss_tile
            )
            shown.extend(of_loss)
        return loss if scale == 1 else loss * scale

    loss = gradient_cache.backward(embed, len(parts), loss_of, job.replica, clock)
    values = torch.stack(shown) if shown else loss.new_empty(0)
    return _Found(loss=loss, features=seen[0], parts=values)


def _duplicate_captions(tokens_BT: Tensor, world: World) -> int:
    """Samples of the global batch whose caption, as tokens, another sample before it has.

    Counted by 64-bit hashes: odd factors, so that each token tells.
    """
    factors_T = generator_for(0, STEP_KEY, 0).integers(2**62, size=tokens_BT.shape[1]) * 2 + 1
    hashes_B = (tokens_BT * torch.from_numpy(factors_T).to(tokens_BT.device)).sum(1)
    ranks = RankRows.equal(len(hashes_B), world)
    hashes_G = ranks.gather(hashes_B[:, None]).flatten()
    return len(hashes_G) - len(hashes_G.unique())
