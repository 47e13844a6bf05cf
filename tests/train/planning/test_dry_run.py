"""What a run will be, before it is one."""

import dataclasses
from pathlib import Path

import pytest

from diagonal_infra import run_dir
from diagonal_train.__main__ import main
from diagonal_train.config.compare import differing_fields
from diagonal_train.config.train import TrainConfig
from diagonal_train.planning.dry_run import (
    dry_run,
    gpu_hours,
    largest_micro_batch,
    rank_memory,
    samples_per_second,
)
from diagonal_train.planning.footprint import EncoderFootprint, Footprint, measure
from diagonal_train.recipes import TRAIN

ENCODER = EncoderFootprint(
    parameters=500,
    forward_flops=10**12,
    attention_flops=0,
    activation_bytes=3_000_000,
    checkpointed_bytes=400_000,
    block_bytes=100_000,
    fixed_bytes=1000,
)
MODEL = Footprint(
    image=ENCODER, text=ENCODER, parameters=1000, embed_dim=16, context_length=77, causal=True
)


@pytest.mark.parametrize("name", list(TRAIN))
def test_every_recipe_dry_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = TRAIN[name]()
    dry_run(config)
    shown = capsys.readouterr().out
    for part in ("forward GFLOP", f"{config.total_steps:,}", "memory of a rank", "H200 141 GB"):
        assert part in shown


def test_the_command_touches_neither_data_nor_run_folder(tmp_path: Path) -> None:
    places = {"data": str(tmp_path / "none"), "run": str(tmp_path / "run")}
    main(dataclasses.replace(TRAIN["tiny"](), **places, dry_run=True))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_may_be_dry_run() -> None:
    config = TRAIN["tiny"]()
    dry = dataclasses.replace(config, dry_run=True)
    assert differing_fields(run_dir.resolved(config), run_dir.resolved(dry)) == []


def test_the_memory_of_a_rank_is_its_parts() -> None:
    config = TrainConfig(global_batch_size=1024, samples_seen=1024 * 2000)
    memory = rank_memory(config, MODEL, 8)
    assert memory.samples == 128
    assert memory.state == 16 * 1000 + 2 * 1000
    assert memory.loss == 4 * 16 * (2 * 128 + 3 * 1024)
    assert memory.activations == 128 * 6_000_000
    assert memory.checkpointed == 128 * (800_000 + 100_000)


def test_a_micro_batch_that_fits_leaves_room_and_one_more_does_not() -> None:
    config = TrainConfig(global_batch_size=1024, samples_seen=1024 * 2000)
    fits = largest_micro_batch(config, MODEL, 80, checkpointed=False)
    assert fits * 6_000_000 < 0.9 * 80e9 < (fits + 2) * 6_000_000
    assert largest_micro_batch(config, MODEL, 80, checkpointed=True) > 6 * fits
    assert largest_micro_batch(config, MODEL, 0.00001, checkpointed=True) == 0


def test_hours_are_samples_by_throughput() -> None:
    config = TrainConfig(global_batch_size=1024, samples_seen=3_600_000)
    # 6 TFLOP a sample at half of 600 TFLOP/s: 50 samples a second.
    assert samples_per_second(MODEL, 600, 0.5) == pytest.approx(50)
    assert gpu_hours(config, MODEL, 600, 0.5) == pytest.approx(3515 * 1024 / 50 / 3600)


def test_a_published_throughput_has_its_published_utilisation() -> None:
    # open_clip's ViT-L/14 on 200 A100: 178 samples a second of one were 29.9 % of 312 TFLOP/s.
    rate = samples_per_second(measure(TRAIN["vit-l14"]()), 312, 0.299)
    assert rate == pytest.approx(178, rel=0.01)
