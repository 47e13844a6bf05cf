import shutil
from pathlib import Path
from typing import Any

import pytest
import ray.train
from ray.train.torch import TorchTrainer

from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.ray_validation import validation_config
from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_infra import ray_cluster


@pytest.mark.ray
# Ray's own, of its own defaults.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.timeout(600)
def test_ray_evaluates_the_checkpoint_that_a_trainer_reports(tiny_run: str, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    config = SuiteConfig(
        checkpoint="(Ray names it)",
        tasks=("weak/counting",),
        output=str(tmp_path / "out"),
        weak=WeakSpotConfig(num_pictures=12, side=64),
        resamples=100,
    )

    def train(settings: dict[str, Any]) -> None:
        ray.train.report(
            {"loss": 1.0},
            checkpoint=ray.train.Checkpoint(settings["checkpoint"]),
            checkpoint_upload_mode=ray.train.CheckpointUploadMode.NO_UPLOAD,
            validation=True,
        )

    with ray_cluster.start(num_cpus=3):
        result = TorchTrainer(
            train,
            train_loop_config={"checkpoint": f"{run}/checkpoints/step-00000008"},
            scaling_config=ray.train.ScalingConfig(num_workers=1),
            run_config=ray.train.RunConfig(name="checkpoints", storage_path=str(run)),
            validation_config=validation_config(config),
        ).fit()
    assert result.best_checkpoints is not None
    _, metrics = result.best_checkpoints[0]
    assert metrics["loss"] == 1.0
    assert 0 <= metrics["weak/counting/text_acc"] <= 1
    assert (tmp_path / "out" / "step-00000008" / "results.json").exists()
