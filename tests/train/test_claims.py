"""Runs of benchmarks/claims/ on a small dataset: what is trained, kept fixed and judged."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from claims import arms, contrastive, exam, prediction
from diagonal_data.rows import read_rows
from diagonal_train.config.train import TrainConfig

NAMES = ("red circle", "blue square", "green circle", "red square")
Build = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def questions() -> exam.Exam:
    images_NCHW = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    return exam.plan_exam(images_NCHW, np.arange(8) % 4, NAMES)


def test_a_fixed_temperature_stays_and_a_learned_one_does_not(
    tiny: Build, questions: exam.Exam
) -> None:
    scales = {}
    for name in ("fixed-14", arms.BASE):
        own = dataclasses.replace(tiny(), run=f"{tiny().run}-{name}")
        contrastive.train_contrastive(arms.ARMS[name], own)
        scales[name] = contrastive.final_logit_scale(own)
        points = contrastive.judge_run(own, questions)
        assert [point["samples_seen"] for point in points] == [160, 320]
    assert scales["fixed-14"] == pytest.approx(1 / 0.07)
    assert scales[arms.BASE] != pytest.approx(1 / 0.07, rel=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_prediction_arms_learn_and_are_judged_where_the_contrastive_one_is(
    tiny: Build, questions: exam.Exam, *, whole: bool
) -> None:
    config = tiny()
    captions = read_rows(config.data, ["caption"])["caption"].to_pylist()
    predictor = prediction.build_predictor(config, captions, whole=whole)
    images_BCHW, numbers_BT = torch.zeros(4, 3, 32, 32), predictor.vocabulary.read(captions[1:5])
    with torch.no_grad():
        before = predictor.loss(images_BCHW, numbers_BT).item()
    points = prediction.train_predictor(predictor, config, questions)
    with torch.no_grad():
        assert predictor.loss(images_BCHW, numbers_BT).item() < before
    assert [point["samples_seen"] for point in points] == [160, 320]
    assert ("top1_of_all" in points[0]) == predictor.judges_all
