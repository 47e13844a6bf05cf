import math

import numpy as np
import pytest

from diagonal_eval.intervals import Rate
from diagonal_eval.robustness import (
    LINKS,
    Baseline,
    EffectiveRobustness,
    Line,
    Link,
    effective_robustness,
    fit_line,
    mean_relative_robustness,
    relative_robustness,
)


def on_line(link: Link, slope: float, intercept: float, *references: float) -> list[Baseline]:
    forward, back = LINKS[link]
    return [
        Baseline(name=str(p), reference=p, shifted=back(intercept + slope * forward(p)))
        for p in references
    ]


def line_of(baselines: list[Baseline], link: Link = "logit") -> Line:
    line = fit_line(baselines, link)
    assert isinstance(line, Line), line
    return line


def residual(line: Line, reference: Rate, shifted: Rate, seed: int = 0) -> EffectiveRobustness:
    found = effective_robustness(line, reference, shifted, seed=seed, draws=2000)
    assert found is not None
    return found


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_a_known_line_is_found_again(link: Link) -> None:
    line = line_of(on_line(link, 0.8, -0.5, 0.4, 0.55, 0.6, 0.75), link)
    assert line.slope == pytest.approx(0.8)
    assert line.intercept == pytest.approx(-0.5)
    assert line.r2 == pytest.approx(1.0)
    assert line.num_baselines == 4


def test_a_model_on_the_line_has_no_effective_robustness_and_one_above_has_its_distance() -> None:
    line = line_of(on_line("logit", 1.0, -1.0, 0.4, 0.55, 0.6, 0.75))
    expected = 1 / (1 + math.exp(1.0))
    reference = Rate(successes=5000, n=10_000)
    on = residual(line, reference, Rate(successes=round(expected * 10_000), n=10_000))
    assert on.predicted == pytest.approx(expected)
    assert on.value == pytest.approx(0.0, abs=1e-4)
    assert on.interval[0] < 0 < on.interval[1]
    above = residual(line, reference, Rate(successes=round((expected + 0.1) * 10_000), n=10_000))
    assert above.value == pytest.approx(0.1, abs=1e-4)
    assert above.interval[0] > 0.05
    assert above.notes == ()


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(100):
        baselines = [
            Baseline(
                name="",
                reference=float(p),
                shifted=LINKS["logit"][1](LINKS["logit"][0](p) - 1 + rng.normal() * 0.1),
            )
            for p in (0.3, 0.4, 0.5, 0.6, 0.7)
        ]
        truth = LINKS["logit"][1](LINKS["logit"][0](0.55) - 1) + 0.05
        reference = Rate(successes=int(rng.binomial(1000, 0.55)), n=1000)
        shifted = Rate(successes=int(rng.binomial(1000, truth)), n=1000)
        low, high = residual(line_of(baselines), reference, shifted, trial).interval
        held += low <= 0.05 <= high
    assert 89 <= held <= 100


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_baselines_give_a_reason_and_no_line(count: int) -> None:
    reason = fit_line(on_line("logit", 1, 0, *[0.5] * count))
    assert reason == f"{count} usable baselines; a line needs at least 2"


def test_baselines_of_one_accuracy_have_no_line() -> None:
    assert "no line" in str(fit_line(on_line("logit", 1, 0, 0.5, 0.5)))


def test_two_baselines_do_not_know_the_error_of_their_line() -> None:
    line = line_of(on_line("logit", 1, 0, 0.4, 0.6))
    assert line.r2 is None
    assert line.residual_std is None
    assert "leaves out the error" in line.notes[0]


def test_accuracies_without_a_logit_are_shrunk_or_left_out_and_it_is_said() -> None:
    good = on_line("logit", 1, 0, 0.4, 0.6)
    known = Baseline(name="zero", reference=0.5, shifted=0.0, reference_n=100, shifted_n=100)
    line = line_of([*good, known])
    assert line.num_baselines == 3
    assert "zero: accuracy 0 or 1 shrunk" in line.notes[0]
    unknown = Baseline(name="zero", reference=0.5, shifted=0.0)
    line = line_of([*good, unknown])
    assert line.num_baselines == 2
    assert "zero left out" in line.notes[0]


def test_a_model_that_is_never_or_always_right_has_a_finite_residual() -> None:
    line = line_of(on_line("logit", 1, 0, 0.4, 0.5, 0.6))
    for successes in (0, 50):
        found = residual(line, Rate(successes=successes, n=50), Rate(successes=successes, n=50))
        assert all(map(math.isfinite, (found.value, *found.interval)))
        assert any("shrunk" in note for note in found.notes)
        assert any("extrapolated" in note for note in found.notes)
    assert (
        effective_robustness(line, Rate(successes=0, n=0), Rate(successes=1, n=2), seed=0) is None
    )


def test_relative_robustness_is_the_ratio_and_its_interval_holds_it() -> None:
    found = relative_robustness(Rate(successes=600, n=1000), Rate(successes=450, n=1000), seed=0)
    assert found is not None
    assert found.value == pytest.approx(0.75)
    # Delta method: relative variance is the sum of (1 − p) / (p n).
    half = 1.96 * 0.75 * math.sqrt(0.4 / 600 + 0.55 / 450)
    assert found.interval == pytest.approx((0.75 - half, 0.75 + half), abs=0.005)


def test_nothing_is_relative_to_zero_or_to_nothing() -> None:
    some, zero, none = (Rate(successes=s, n=n) for s, n in ((1, 2), (0, 2), (0, 0)))
    assert relative_robustness(zero, some, seed=0) is None
    assert relative_robustness(none, some, seed=0) is None
    assert relative_robustness(some, none, seed=0) is None
    assert mean_relative_robustness([], seed=0) is None
    assert mean_relative_robustness([(some, some), (zero, some)], seed=0) is None


def test_the_mean_over_shifts_keeps_the_reference_they_share() -> None:
    reference, shifted = Rate(successes=50, n=100), Rate(successes=4000, n=10_000)
    one = relative_robustness(reference, shifted, seed=0)
    both = mean_relative_robustness([(reference, shifted), (reference, shifted)], seed=0)
    assert one is not None
    assert both is not None
    assert both.value == pytest.approx(one.value)
    assert np.ptp(both.interval) == pytest.approx(np.ptp(one.interval), rel=0.1)


def test_an_impossible_accuracy_is_refused() -> None:
    for bad in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="must be in 0–1"):
            Baseline(name="x", reference=0.5, shifted=bad)
