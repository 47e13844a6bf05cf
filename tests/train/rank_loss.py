"""A rank of test_loss.py: loss and averaged gradients of its part of a batch, written to a file.

python rank_loss.py OUT KIND:SIZES …     with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set

KIND is that of the contrastive loss, or `distilled` for the one with a teacher.
SIZES is each rank's number of samples, as `5,7`. One that is 0 must be refused on all ranks.
"""

import dataclasses
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from diagonal_infra.errors import UserError
from diagonal_train import rank_rows
from diagonal_train.distributed import World, from_environment, in_process_group
from diagonal_train.loss import Kind, Teacher, contrastive_loss, distilled_loss

BATCH_SIZE, TILE = 24, 5


class Encoders(nn.Module):
    """Two linear encoders, a logit scale and a bias, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Linear(7, 5, dtype=torch.float64)
        self.text = nn.Linear(6, 5, dtype=torch.float64)
        self.logit_scale = nn.Parameter(torch.tensor(2.5, dtype=torch.float64))
        self.logit_bias = nn.Parameter(torch.tensor(-1.5, dtype=torch.float64))

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of length 1, the scale and the bias."""
        image = nn.functional.normalize(self.image(images), dim=-1)
        text = nn.functional.normalize(self.text(texts), dim=-1)
        return image, text, self.logit_scale.exp(), self.logit_bias * 1


def whole_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """The same inputs on every rank."""
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH_SIZE, 7, dtype=torch.float64, generator=rng)
    return images, torch.randn(BATCH_SIZE, 6, dtype=torch.float64, generator=rng)


def teacher_of_all() -> Teacher:
    """Embeddings of the whole batch by another model, of another width."""
    rng = torch.Generator().manual_seed(2)
    rows = torch.randn(2, BATCH_SIZE, 9, dtype=torch.float64, generator=rng)
    image_BE, text_BE = nn.functional.normalize(rows, dim=-1)
    return Teacher(image_BE=image_BE, text_BE=text_BE, logit_scale=7.0, weight=0.3)


def main(out: str, *cases: str) -> None:
    """This rank's part; rank 0 writes each case's mean loss and gradients, which DDP made equal."""
    world = from_environment()
    rank_rows.CHUNK_BYTES = 500  # So that a few rows move at a time, and the last are missing.

    def compute() -> dict[str, dict[str, torch.Tensor | None]]:
        return {case: loss_and_gradients(world, *case.split(":")) for case in cases}

    if any(size == "0" for case in cases for size in case.split(":")[1].split(",")):
        with pytest.raises(UserError, match="got 24 and 24 on rank 0, 0 and 0 on rank 1"):
            in_process_group(world, compute)
        return
    found = in_process_group(world, compute)
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], "the group outlives its end"
    if world.is_main:
        torch.save(found, Path(out))


def loss_and_gradients(world: World, kind: str, parts: str) -> dict[str, torch.Tensor | None]:
    """The mean over ranks."""
    encoders, sizes = Encoders(), [int(size) for size in parts.split(",")]
    images, texts = (part.split(sizes)[world.rank] for part in whole_batch())
    replica = DistributedDataParallel(encoders) if world.world_size > 1 else encoders
    image_BD, text_BD, scale, bias = replica(images, texts)
    if kind == "distilled":
        whole = teacher_of_all()
        image_BE, text_BE = (
            part.split(sizes)[world.rank] for part in (whole.image_BE, whole.text_BE)
        )
        teacher = dataclasses.replace(whole, image_BE=image_BE, text_BE=text_BE)
        losses = distilled_loss(image_BD, text_BD, scale, teacher, TILE)
        # DDP waits for the gradient of every parameter.
        (losses.whole + 0 * bias).backward()
        mean = torch.stack([loss.detach() for loss in losses])
    else:
        loss = contrastive_loss(image_BD, text_BD, scale, bias, kind=cast(Kind, kind), tile=TILE)
        loss.backward()
        mean = loss.detach().clone()
    if world.world_size > 1:
        dist.all_reduce(mean)
    gradients = {name: p.grad for name, p in encoders.named_parameters()}
    return {"loss": mean / world.world_size, **gradients}


if __name__ == "__main__":
    main(*sys.argv[1:])
