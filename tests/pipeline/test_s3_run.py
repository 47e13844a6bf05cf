"""A run's checkpoints on a real S3 server (SeaweedFS), which is down in between."""

import pytest
import torch
from tests.pipeline.test_s3 import Weed, s3, weed
from torch import nn

from diagonal_infra.errors import CheckpointError, StorageError
from diagonal_train import checkpoint
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder
from diagonal_train.state import TrainState

__all__ = ["s3", "weed"]


def test_a_store_that_is_down_costs_a_save_and_no_checkpoint(s3: str, weed: Weed) -> None:
    model = DualEncoder(nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 2)))
    state = TrainState(model=model, optimizer=torch.optim.AdamW(model.parameters()))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimizer.step()
    saver = checkpoint.Saver(s3, World(), CheckpointConfig(retry_seconds=0), data_digest="d")
    saver.save(state, step=1, samples_seen=16)
    saver.wait()
    weed.kill()
    saver.save(state, step=2, samples_seen=32)
    with pytest.raises(CheckpointError, match="s3://pictures"):
        saver.wait()
    with pytest.raises(StorageError):
        checkpoint.latest_complete(s3)
    weed.start()
    assert checkpoint.find(s3, None).step == 1
    saver.save(state, step=3, samples_seen=48)
    saver.wait()
    before = model.clip[0].weight.detach().clone()
    with torch.no_grad():
        model.clip[0].weight.zero_()
    checkpoint.load(checkpoint.find(s3, None), state)
    assert torch.equal(model.clip[0].weight, before)
    assert checkpoint.steps(s3) == [1, 3]
