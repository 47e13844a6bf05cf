"""The linear probe's logistic regression against scikit-learn's, on the same features.

    make bench WHAT=linear_probe [ARGS="--only classes-100 --repeat 3"]

Features are drawn: classes around centres in a space whose axes fall off like those of a trained
model's, and overlap. Every program runs in a process of its own with one thread; what is timed is
the fit from features in memory to weights. scikit-learn runs as it comes (L-BFGS, tolerance 1e-4,
given fp32 and fp64) and with a tolerance that brings it nearer to the minimum; Newton-Cholesky,
whose matrix is of (classes · features)², with ten classes alone. Of the peers, the quickest is
compared.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import comparison
from comparison import Line
from machine import RESULTS, result_stem

ROWS = {
    "classes-100": {"classes": 100, "c": (0.1, 1.0)},
    "classes-10": {"classes": 10, "c": (0.1,)},
}
SAMPLES, TEST_SAMPLES, WIDTH = 20_000, 20_000, 512
OURS, REFERENCE = "diagonal", "scikit-learn lbfgs fp32 tol 1e-5"
PEERS = {
    "scikit-learn lbfgs fp32": {},
    "scikit-learn lbfgs fp64": {"fp64": True},
    REFERENCE: {"tol": 1e-5},
    "scikit-learn newton-cholesky": {"solver": "newton-cholesky"},
}
MOST_NEWTON_CLASSES = 10
GOAL_SPEED, GOAL_POINTS = 3.0, 0.1


def main() -> None:
    """Measure what was asked for; one program if it is named."""
    given = parse()
    if given.one:
        measured = measure_once(given.one, given.classes, given.c)
        sys.stdout.write(json.dumps(measured))
        return
    rows = {name: partial(measure_row, repeat=given.repeat, **ROWS[name]) for name in given.only}
    packages = ("torch", "scikit-learn", "scipy", "numpy")
    sys.exit(comparison.measure_rows(rows, given.out.with_suffix(".json"), packages, as_markdown))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = partial(comparison.chosen_rows, list(ROWS))
    parser.add_argument("--only", type=chosen, default=list(ROWS), help="rows, with commas")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, the quickest counts")
    stem = RESULTS / result_stem("linear_probe")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    parser.add_argument("--one", choices=(OURS, *PEERS), help="fit once in this process, as JSON")
    parser.add_argument("--classes", type=int, default=100, help="with --one")
    parser.add_argument("--c", type=float, default=1.0, help="with --one")
    return parser.parse_args()


def measure_row(*, classes: int, c: tuple[float, ...], repeat: int) -> dict[str, Any]:
    """Every program at every C; repeats take turns."""
    programs = [OURS, *(p for p in PEERS if "newton" not in p or classes <= MOST_NEWTON_CLASSES)]
    found: dict[str, dict[str, Any]] = {}
    for value in c:
        runs: dict[str, list[dict[str, Any]]] = {program: [] for program in programs}
        for _ in range(repeat):
            for program in programs:
                runs[program].append(in_a_process(program, classes, value))
        found[f"{value:g}"] = {
            program: min(runs[program], key=lambda run: run["cpu_seconds"]) for program in programs
        }
    return {"classes": classes, "samples": SAMPLES, "width": WIDTH, "threads": 1, "at": found}


def in_a_process(program: str, classes: int, c: float) -> dict[str, Any]:
    """`measure_once` in a fresh process with one thread."""
    words = ["--one", program, "--classes", str(classes), "--c", repr(c)]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env=os.environ | threads,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    measured = json.loads(done.stdout)
    print(program, classes, c, measured, file=sys.stderr, flush=True)
    return measured


def measure_once(program: str, classes: int, c: float) -> dict[str, Any]:
    """CPU and wall seconds of a fit, its objective in fp64 and its accuracy on other samples."""
    features_ND, labels_N = draw(classes, SAMPLES + TEST_SAMPLES)
    train, truth = features_ND[:SAMPLES], labels_N[:SAMPLES]
    fit = fit_ours if program == OURS else partial(fit_peer, **PEERS[program])
    # What a library loads or compiles on its first call is not the fit's.
    fit(train[:200], np.arange(200) % classes, 1.0)
    cpu, wall = time.process_time(), time.perf_counter()
    weight_DC, intercept_C, iterations = fit(train, truth, c)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    test, test_truth = features_ND[SAMPLES:], labels_N[SAMPLES:]
    predicted = (test.astype(np.float64) @ weight_DC + intercept_C).argmax(axis=1)
    return {
        "cpu_seconds": round(cpu, 3),
        "wall_seconds": round(wall, 3),
        "iterations": iterations,
        "objective": objective(weight_DC, intercept_C, train, truth, c),
        "accuracy": float((predicted == test_truth).mean()),
    }


def draw(classes: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that overlap between classes, on axes whose deviations fall like 1/√rank."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(classes, size=n)
    centre_CD = 0.6 * rng.normal(size=(classes, WIDTH))
    axis_D = 3 / np.sqrt(np.arange(1, WIDTH + 1))
    rotation_DD = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    spread = 4 if classes > MOST_NEWTON_CLASSES else 7
    drawn_ND = (centre_CD[labels_N] + spread * rng.normal(size=(n, WIDTH))) * axis_D
    return (drawn_ND @ rotation_DD + rng.normal(size=WIDTH)).astype(np.float32), labels_N


def fit_ours(features: np.ndarray, labels: np.ndarray, c: float) -> tuple[Any, Any, int]:
    """Weights, intercepts and iterations."""
    from diagonal_eval.probes import logistic  # noqa: PLC0415  # the peers do without torch

    found = logistic.fit(logistic.prepare_labels(features, labels), c)
    return found.classifier.weight_DC, found.classifier.intercept_C, found.iterations


def fit_peer(
    features: np.ndarray,
    labels: np.ndarray,
    c: float,
    *,
    solver: str = "lbfgs",
    fp64: bool = False,
    tol: float = 1e-4,
) -> tuple[Any, Any, int]:
    """The same of scikit-learn's."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # ours does without

    model: Any = LogisticRegression(C=c, solver=solver, tol=tol, max_iter=1000)
    with warnings.catch_warnings():
        # Iterations that ran out are seen in the result.
        warnings.simplefilter("ignore")
        model.fit(features.astype(np.float64) if fp64 else features, labels)
    return model.coef_.T.astype(np.float64), np.asarray(model.intercept_), int(model.n_iter_[0])


def objective(
    weight_DC: np.ndarray,
    intercept_C: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    c: float,
) -> float:
    """C · Σ losses + ½ · Σ weights² in fp64."""
    logits = features.astype(np.float64) @ weight_DC + intercept_C
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return float(c * losses.sum() + np.square(weight_DC).sum() / 2)


def lines_of(row: Mapping[str, Any]) -> list[Line]:
    """For each C: time against the quickest peer, accuracy against the most exact."""
    lines = []
    for c, found in row["at"].items():
        ours, peers = found[OURS], {name: run for name, run in found.items() if name != OURS}
        name, quickest = min(
            ((name, run) for name, run in peers.items()), key=lambda item: item[1]["cpu_seconds"]
        )
        ratio = quickest["cpu_seconds"] / ours["cpu_seconds"]
        lines.append(
            Line(
                measure=f"{row['classes']} classes, C = {c}: CPU s",
                peer=f"{quickest['cpu_seconds']:.2f} ({name.removeprefix('scikit-learn ')})",
                ours=f"{ours['cpu_seconds']:.2f}",
                ratio=f"{ratio:.1f} ×",
                goal=f"≥ {GOAL_SPEED:g} ×",
                met=ratio >= GOAL_SPEED,
            )
        )
        exact = min(peers.values(), key=lambda run: run["objective"])
        points = 100 * (ours["accuracy"] - exact["accuracy"])
        lines.append(
            Line(
                measure=f"{row['classes']} classes, C = {c}: accuracy",
                peer=f"{exact['accuracy']:.2%}",
                ours=f"{ours['accuracy']:.2%}",
                ratio=f"{points:+.2f} points",
                goal=f"within {GOAL_POINTS:g}",
                met=abs(points) <= GOAL_POINTS + 1e-9,
            )
        )
    return lines


def as_markdown(result: Mapping[str, Any]) -> str:
    """The page."""
    rows = result["rows"]
    lines = [line for row in rows.values() for line in lines_of(row)]
    parts = [
        "# Linear probe: logistic regression against scikit-learn",
        f"{result['machine']}; {comparison.packages(result)}. {comparison.measured_on(rows)} "
        f"{SAMPLES:,} samples of width {WIDTH}, one thread, a process each; accuracy on "
        f"{TEST_SAMPLES:,} other samples. Time is against the quickest of scikit-learn's solvers, "
        "accuracy against the one that came nearest to the minimum. "
        "`make bench WHAT=linear_probe` measures again.",
        comparison.table("scikit-learn", lines),
        "## Every fit",
        "| classes | C | program | CPU s | wall s | iterations | above the least objective "
        "| accuracy |\n|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.values():
        for c, found in row["at"].items():
            least = min(run["objective"] for run in found.values())
            for program, run in found.items():
                parts[-1] += (
                    f"\n| {row['classes']} | {c} | {program} | {run['cpu_seconds']:.2f} "
                    f"| {run['wall_seconds']:.2f} | {run['iterations']} "
                    f"| {run['objective'] / least - 1:.1e} | {run['accuracy']:.2%} |"
                )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
