"""An arm by our own train loop, and how its runs are asked for names.

Shape suffixes: N pictures, C class names, D embedding width.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from claims.arms import Arm
from claims.exam import Exam, judge
from diagonal_eval.recipes import DEMO_TEMPLATES
from diagonal_eval.zeroshot import BARE_LABEL, build_classifier
from diagonal_infra import run_dir
from diagonal_train import checkpoint
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import LoadedModel, load_model
from diagonal_train.loop import never, run_steps, set_up, train
from diagonal_train.recovering.signals import Requests

PROMPTS = {"ensemble": DEMO_TEMPLATES, "bare": BARE_LABEL} | {
    template: (template,) for template in DEMO_TEMPLATES if template not in BARE_LABEL
}


class NameClassifier:
    """A dual encoder as a scorer: cosines with the mean prompt of each name."""

    judges_all = True

    def __init__(self, loaded: LoadedModel, templates: Sequence[str]) -> None:
        self._loaded = loaded
        self._templates = templates

    def features(self, images_NCHW: Tensor) -> Tensor:
        """Embeddings N×D."""
        return self._loaded.model.encode_image(images_NCHW)

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        """Cosines N×C."""
        classifier_CD = build_classifier(self._embed, names, self._templates)
        return features_ND @ torch.from_numpy(classifier_CD).T

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return self._loaded.model.encode_text(self._loaded.tokenizer(list(texts))).numpy()


def train_contrastive(arm: Arm, config: TrainConfig) -> None:
    """Train, or go on with, or find finished, the arm's run."""
    if arm.fixed_temperature is None:
        train(config, World())
        return
    # What train() does, with one parameter less.
    job = set_up(config, World())
    job.state.model.logit_scale.requires_grad_(False)
    run_dir.write_config(config.run, config)
    if job.start.step < config.total_steps:
        run_steps(job, time.perf_counter(), Requests(never))


def judge_run(config: TrainConfig, exam: Exam) -> list[dict[str, float]]:
    """Accuracy with the prompt ensemble at every checkpoint but that of the initial weights."""
    return [
        {"samples_seen": step * config.global_batch_size}
        | judge(NameClassifier(load_model(config.run, step), DEMO_TEMPLATES), exam)
        for step in checkpoint.steps(config.run)
        if step > 0
    ]


def judge_prompts(config: TrainConfig, exam: Exam) -> dict[str, dict[str, float]]:
    """Accuracy of the last checkpoint with each kind of prompt."""
    loaded = load_model(config.run)
    return {name: judge(NameClassifier(loaded, PROMPTS[name]), exam) for name in PROMPTS}


def final_logit_scale(config: TrainConfig) -> float:
    """What cosines are multiplied by in the end."""
    return load_model(config.run).model.logit_scale.exp().item()
