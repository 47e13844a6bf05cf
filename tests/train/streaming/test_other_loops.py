"""The loader in train loops that are not ours."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import open_clip
import torch
from open_clip_train.data import DataInfo
from open_clip_train.train import train_one_epoch

from diagonal_train.stream import StreamConfig, dataloader

TOWERS = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 77, "width": 32, "heads": 2, "layers": 1},
}


def test_open_clips_train_loop_runs_an_epoch_on_it(dataset: Path, tmp_path: Path) -> None:
    config = StreamConfig(
        data=str(dataset),
        global_batch_size=16,
        lanes=16,
        image_size=32,
        index_cache=str(tmp_path),
    )
    loader = dataloader(config, num_workers=1, as_="tuple", as_floats=True)
    model = open_clip.model.CLIP(**TOWERS, output_dict=True)
    before = model.logit_scale.item()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    options = argparse.Namespace(
        device="cpu", precision="fp32", distill=False, accum_freq=1, batch_size=16, world_size=1,
        skip_scheduler=True, grad_clip_norm=None, log_every_n_steps=1, rank=0, local_rank=0,
        wandb=False, horovod=False, log_local=False, distributed=False,
    )  # fmt: skip
    steps: list[int] = []
    board = SimpleNamespace(add_scalar=lambda name, value, step: steps.append(step))
    data = {"train": DataInfo(dataloader=cast(Any, loader))}
    loss = open_clip.ClipLoss()
    train_one_epoch(model, data, loss, 0, optimizer, None, None, None, options, tb_writer=board)
    assert sorted(set(steps)) == list(range(120 // 16))
    assert model.logit_scale.item() != before
