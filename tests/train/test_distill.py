"""Runs that learn from embeddings stored with the data; `reinforced` has the finished run's."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.config.distill import DistillConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distill import teacher_of, with_teacher_scale
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import set_up, train
from diagonal_train.loss import dense_distilled_loss
from diagonal_train.step import train_step
from diagonal_train.stream import read_batches

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]
HALF = DistillConfig(weight=0.5)


@pytest.fixture
def student(tiny: Build, reinforced: Path) -> Build:
    """The recipe `tiny` with a teacher; arguments replace fields."""
    fields = {"data": str(reinforced), "filter": None, "seed": 7, "distill": HALF}
    return lambda **changes: tiny(**{**fields, **changes})


def test_a_run_comes_nearer_to_its_teacher_and_records_both_losses(
    student: Build, read_metrics: Read
) -> None:
    config = student(distill=DistillConfig(weight=1.0))
    train(config, World())
    lines = read_metrics(config.run)
    assert lines[-1]["distillation_loss"] < 0.2 * lines[0]["distillation_loss"]
    assert all(line["loss"] == line["distillation_loss"] for line in lines)
    assert all(line["contrastive_loss"] > line["loss"] for line in lines)
    assert not any(line["replaced"] for line in lines)


def test_a_run_without_a_teacher_records_neither(
    finished_run: TrainConfig, read_metrics: Read
) -> None:
    assert all("distillation_loss" not in line for line in read_metrics(finished_run.run))


def test_the_first_steps_loss_is_that_of_the_stored_embeddings(student: Build) -> None:
    job = set_up(student(), World())
    batch = next(read_batches(job.stream, 0))
    teacher = teacher_of(batch, job.config)
    stats = train_step(job, batch, 0, stop=False)
    assert stats.features is not None
    assert teacher is not None
    scale = torch.tensor(1 / 0.07)
    dense = dense_distilled_loss(*stats.features, scale, teacher)
    assert stats.loss == pytest.approx(dense.whole.item(), rel=1e-5)
    assert list(stats.parts.values()) == pytest.approx([p.item() for p in dense[1:]], rel=1e-4)


def test_a_run_that_goes_on_is_the_one_that_was_not_broken_off(
    student: Build, tmp_path: Path, read_metrics: Read
) -> None:
    whole, broken = (student(run=str(tmp_path / name)) for name in "ab")
    train(whole, World())
    shutil.copytree(whole.run, broken.run)
    checkpoint.delete_after(broken.run, 10)
    (Path(broken.run) / "summary.json").unlink()
    assert train(broken, World()).started_at_step == 10
    fields = ("step", "loss", "contrastive_loss", "distillation_loss", "grad_norm")
    left, right = ([[n[f] for f in fields] for n in read_metrics(c.run)] for c in (whole, broken))
    assert left == right
    expected = load_model(whole.run).model.state_dict()
    weights = load_model(broken.run).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def test_another_weight_is_another_run(student: Build) -> None:
    train(student(samples_seen=160), World())
    with pytest.raises(UserError, match=r"--distill\.weight was 0\.5, is 0\.25"):
        train(student(samples_seen=160, distill=DistillConfig(weight=0.25)), World())


@pytest.mark.timeout(300)
def test_two_ranks_with_micro_batches_and_workers_train_as_one_without(
    student: Build, read_metrics: Read, run_ranks: Callable[..., None]
) -> None:
    config = student(samples_seen=80)
    train(config, World())
    places = ("--data", config.data, "--run", config.run + "-ranks", "--seed", "7")
    words = ["-m", "diagonal_train", "tiny", *places, "--samples-seen", "80"]
    more = ["--distill.weight", "0.5", "--micro-batch-size", "3", "--stream.num-workers", "2"]
    run_ranks([*words, *more], 2)
    for name in ("loss", "contrastive_loss", "distillation_loss"):
        expected = [line[name] for line in read_metrics(config.run)]
        found = [line[name] for line in read_metrics(config.run + "-ranks")]
        assert found == pytest.approx(expected, rel=1e-3)


def test_fp16_shows_the_losses_unscaled(student: Build) -> None:
    job = set_up(student(precision="fp16"), World())
    stats = train_step(job, next(read_batches(job.stream, 0)), 0, stop=False)
    assert stats.loss == pytest.approx(0.5 * sum(stats.parts.values()), rel=1e-5)


def test_the_logit_scale_is_the_teachers_own_unless_one_is_given(
    student: Build, finished_run: TrainConfig
) -> None:
    own = load_model(finished_run.run).model.logit_scale.exp().item()
    assert with_teacher_scale(student()).distill.logit_scale == pytest.approx(own)
    given = DistillConfig(weight=0.5, logit_scale=100)
    assert with_teacher_scale(student(distill=given)).distill == given


def test_tars_alone_do_not_say_the_logit_scale(student: Build, reinforced: Path) -> None:
    tars = str(reinforced / "shards" / "{00000000..00000002}.tar")
    with pytest.raises(
        UserError, match=r"does not record one logit scale .* --distill\.logit-scale"
    ):
        set_up(student(data=tars), World())
    given = DistillConfig(weight=0.5, logit_scale=20)
    assert set_up(student(data=tars, distill=given), World()).stream.teacher_width == 32


def test_embeddings_of_other_captions_are_refused(
    student: Build, reinforced: Path, tmp_path: Path
) -> None:
    shutil.copytree(reinforced, tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    record = json.loads(path.read_text())
    record["settings"]["teachers"]["teacher"]["captions"] = ["json:caption"]
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"are of the captions \['json:caption'\]; set --stream"):
        set_up(student(data=str(tmp_path / "d")), World())


def test_a_dataset_without_embeddings_is_refused(student: Build, dataset: Path) -> None:
    with pytest.raises(
        UserError, match=r"teacher\.npy; write them with .*diagonal_train.reinforce"
    ):
        train(student(data=str(dataset)), World())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 1.5}, "--distill.weight is a share"),
        ({"logit_scale": 0.0}, "--distill.logit-scale must be above 0"),
        ({"teacher": "a.b"}, "--distill.teacher is made of"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillConfig(**changes)


def test_the_sigmoid_loss_takes_no_teacher(tiny: Build) -> None:
    with pytest.raises(ValueError, match=r"--distill\.weight needs --loss softmax"):
        tiny(loss="sigmoid", distill=HALF)
    assert dataclasses.replace(tiny(loss="sigmoid")).stream_config.teacher is None
