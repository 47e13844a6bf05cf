import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.trouble import troubled

from diagonal_infra.errors import DiagonalError
from diagonal_train import checkpoint, loop
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.optimizer import OptimizerConfig
from diagonal_train.config.recovery import RecoveryConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.load import load_model
from diagonal_train.loop import train
from diagonal_train.recovering.recovery import floating_buffers, restore_buffers
from diagonal_train.recovering.spikes import deviations

Build = Callable[..., TrainConfig]
Read = Callable[[Path | str], list[dict[str, Any]]]
TROUBLE = Path(__file__).parents[1] / "trouble.py"
NAN = math.nan
SAVES = CheckpointConfig(every_steps=5, keep=9)


class Killed(BaseException):
    """As good as SIGKILL: nothing of ours runs after it."""


def kill_at(step: int, run: Callable[..., Any]) -> Callable[..., Any]:
    """A train_step that never finishes step `step`, counted from 1."""

    def killed(job: Any, batch: Any, number: int, **options: Any) -> Any:
        if number + 1 == step:
            raise Killed
        return run(job, batch, number, **options)

    return killed


def trained_with(
    config: TrainConfig, factors: dict[int, float], patch: pytest.MonkeyPatch, *kills: int
) -> None:
    """Train to the end with trouble at some steps, killed and started again at others."""
    for step in kills:
        patch.setattr(loop, "train_step", kill_at(step, troubled(factors)))
        with pytest.raises(Killed):
            train(config, World())
    patch.setattr(loop, "train_step", troubled(factors))
    assert train(config, World()).finished


def state_of(run: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    return load_model(run).model.state_dict(), checkpoint.read(run, 20).meters


def assert_same_end(left: str, right: str, read_metrics: Read) -> None:
    """The same weights, meters and lines, but for times."""
    (weights, meters), (others, other_meters) = state_of(left), state_of(right)
    assert meters == other_meters
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    fields = ("step", "loss", "grad_norm", "skipped")
    lines = [[{f: line[f] for f in fields} for line in read_metrics(r)] for r in (left, right)]
    assert lines[0] == lines[1]


def test_a_step_that_is_not_finite_is_passed_and_named(
    tiny: Build, finished_run: TrainConfig, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(samples_seen=16 * 7)
    config = dataclasses.replace(config, checkpoint=CheckpointConfig(every_steps=1, keep=9))
    trained_with(config, {6: NAN}, monkeypatch)
    lines = read_metrics(config.run)
    assert [line["step"] for line in lines] == [*range(1, 8)]
    assert [line["skipped"] for line in lines] == [0, 0, 0, 0, 0, 1, 0]
    assert lines[5]["loss"] is None
    before, after = (load_model(config.run, step).model.state_dict() for step in (5, 6))
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    record = json.loads((Path(config.run) / "skipped" / "step-00000006.json").read_text())
    assert (record["step"], record["cause"], len(record["uids"])) == (6, "not_finite", 16)


def test_a_run_that_skipped_and_was_killed_ends_as_one_that_was_not(
    tiny: Build, tmp_path: Path, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = {4: NAN, 9: NAN, 10: NAN, 11: NAN}
    whole, broken = (tiny(checkpoint=SAVES, run=str(tmp_path / name)) for name in "ab")
    trained_with(whole, factors, monkeypatch)
    trained_with(broken, factors, monkeypatch, 7, 12)
    assert_same_end(broken.run, whole.run, read_metrics)


@pytest.mark.parametrize("kills", [(13,), (8, 14), (16, 17), (9, 19)])
def test_a_run_that_went_back_and_was_killed_ends_as_one_that_was_not(
    tiny: Build,
    tmp_path: Path,
    read_metrics: Read,
    monkeypatch: pytest.MonkeyPatch,
    kills: tuple[int, ...],
) -> None:
    factors = {8: NAN, 12: NAN, 13: NAN}
    recovery = RecoveryConfig(max_skips=1)
    whole, broken = (
        tiny(checkpoint=SAVES, recovery=recovery, run=str(tmp_path / name)) for name in "ab"
    )
    trained_with(whole, factors, monkeypatch)
    trained_with(broken, factors, monkeypatch, *kills)
    assert_same_end(broken.run, whole.run, read_metrics)
    lines = read_metrics(whole.run)
    assert [line["step"] for line in lines] == [*range(1, 21)]
    assert [line["step"] for line in lines if line["skipped"]] == [8, 11, 12, 13]
    assert json.loads((Path(whole.run) / "skipped" / "rollbacks.json").read_text()) == [[11, 13]]


def test_trouble_behind_a_passed_window_goes_back_before_it(
    tiny: Build, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(checkpoint=SAVES, recovery=RecoveryConfig(max_skips=0))
    trained_with(config, {13: NAN, 14: NAN}, monkeypatch)
    assert state_of(config.run)[1]["rollbacks"] == [[11, 13], [6, 14]]
    passed = [line["step"] for line in read_metrics(config.run) if line["skipped"]]
    assert passed == [*range(6, 15)]


def test_a_spike_is_not_applied_and_its_steps_are_passed(
    tiny: Build, read_metrics: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        samples_seen=16 * 32,
        checkpoint=SAVES,
        recovery=RecoveryConfig(spike_sigma=50),
    )
    trained_with(config, {28: 100.0}, monkeypatch)
    meters = checkpoint.read(config.run, 32).meters
    assert meters["rollbacks"] == [[26, 28]]
    assert len(meters["history"]["loss"]) == 29
    assert max(line["loss"] or 0 for line in read_metrics(config.run)) < 4


def test_too_many_rollbacks_stop_with_uids_file_and_remedy(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(checkpoint=SAVES, recovery=RecoveryConfig(max_skips=0, max_rollbacks=0))
    monkeypatch.setattr(loop, "train_step", troubled({7: NAN}))
    with pytest.raises(DiagonalError, match=r"step 7.*uids [0-9a-f]{32}.*step-00000007\.json") as e:
        train(config, World())
    assert "--recovery.max-rollbacks" in str(e.value)


def test_a_rate_that_ruins_the_weights_at_once_stops_and_says_so(tiny: Build) -> None:
    config = tiny(optimizer=OptimizerConfig(lr=1e30, warmup_steps=0))
    with pytest.raises(DiagonalError, match=r"no checkpoint before step \d.*lower --optimizer.lr"):
        train(config, World())


def test_ranks_decide_alike(
    tiny: Build,
    tmp_path: Path,
    read_metrics: Read,
    run_ranks: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = ["--recovery.max-skips", "1", "--checkpoint.every-steps", "5"]
    config = tiny(checkpoint=SAVES, recovery=RecoveryConfig(max_skips=1))
    trained_with(config, {12: NAN, 13: NAN}, monkeypatch)
    run = str(tmp_path / "two")
    run_ranks([str(TROUBLE), config.data, run, json.dumps({12: "nan", 13: "nan"}), *flags], 2)
    one, two = read_metrics(config.run), read_metrics(run)
    assert [line["skipped"] for line in two] == [line["skipped"] for line in one]
    expected = [line["loss"] or 0 for line in one]
    assert [line["loss"] or 0 for line in two] == pytest.approx(expected, rel=1e-4)


def test_averages_of_a_bad_forward_pass_are_put_back() -> None:
    norm = torch.nn.BatchNorm1d(3)
    kept = floating_buffers(norm)
    norm(torch.full((2, 3), math.nan))
    assert norm.running_mean is not None
    assert norm.running_mean.isnan().all()
    restore_buffers(norm, kept)
    assert torch.equal(norm.running_mean, torch.zeros(3))


def test_deviations_are_robust_and_need_a_history() -> None:
    history = [1.0, 1.2] * 20
    assert deviations(9.0, history[:19]) == 0
    assert deviations(1.1 + 0.1 * 1.4826, history) == pytest.approx(1)
    # The one far off moves the median by its place only: to 1.2, and 0.2 from that.
    assert deviations(9.0, [*history, 1e9]) == pytest.approx(7.8 / (0.2 * 1.4826))
    assert deviations(1.005, [1.0] * 40) == pytest.approx(0.5)
