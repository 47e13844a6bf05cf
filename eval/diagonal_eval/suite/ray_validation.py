"""Evaluation of what a Ray Train run reports, on the same cluster, while it trains.

    trainer = TorchTrainer(…, validation_config=validation_config(suite, num_gpus=1))
    ray.train.report(metrics, checkpoint=Checkpoint("runs/a/checkpoints/step-00001000"),
                     checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD, validation=True)

Ray takes a checkpoint without a copy if it lies in its own folder, STORAGE_PATH/NAME: that is
RUN/checkpoints with `RunConfig(storage_path=RUN, name="checkpoints")`. It starts a task for each
such report, and the numbers join the reported checkpoint's metrics. Runs that are not on Ray are
followed by `--follow`. Ray is imported here and nowhere else in the suite.
"""

import dataclasses
from typing import Any

import ray.train

from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.run import evaluate
from diagonal_infra import storage
from diagonal_train.distributed import World


def validation_config(config: SuiteConfig, **resources: Any) -> ray.train.ValidationConfig:
    """What a trainer takes as `validation_config`.

    Args:
        config: whose checkpoint is left to Ray, and whose output holds a folder per checkpoint.
        resources: of the task, as `ray.remote` takes them.
    """

    def validate(checkpoint: ray.train.Checkpoint, **_: Any) -> dict[str, float]:
        return validate_checkpoint(checkpoint, config)

    return ray.train.ValidationConfig(validate, ray_remote_kwargs=resources)


def validate_checkpoint(checkpoint: ray.train.Checkpoint, config: SuiteConfig) -> dict[str, float]:
    """Every metric of every task, as `TASK/METRIC`."""
    path = str(checkpoint.path).rstrip("/")
    output = storage.join(config.output, path.rsplit("/", 1)[-1])
    results = evaluate(dataclasses.replace(config, checkpoint=path, output=output), World())
    return {
        f"{name}/{metric}": value
        for name, task in results["tasks"].items()
        for metric, value in task["metrics"].items()
    }
