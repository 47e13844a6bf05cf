"""Result folders as the suite writes them: known truth, planted skill, hostile names."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from diagonal_eval.intervals import wilson_interval
from diagonal_eval.robustness import Baseline
from diagonal_eval.robustness_report import robustness_record
from diagonal_eval.suite_report.predictions import predictions_path

HOSTILE = "<script>alert(1)</script> & \"quoted\" | `code` $x$ \\end{tabular} =cmd 'a'"
ARABIC = "قطة سوداء"
FORMULA = '=HYPERLINK("http://evil.example","x")'
OVERRIDE = "safe\u202eexe.txt\u2066"
CLASSES = ("cat", HOSTILE, ARABIC, FORMULA, "日本の犬 🐕")
DIGEST = "0123456789abcdef0123456789abcdef"


def rate(hits: Any, n: int | None = None) -> tuple[float, list[float]]:
    hits_N = np.asarray(hits, dtype=bool)
    return float(hits_N.mean()), list(wilson_interval(int(hits_N.sum()), len(hits_N)))


def predictions(
    n: int, skill: float, seed: int, classes: tuple[str, ...] = CLASSES, prefix: str = "k"
) -> pa.Table:
    """Class i % C is true; with probability `skill` it is predicted, else the next class.

    What a sample is by chance hangs on `seed`; two skills under one seed are nested.
    """
    draw_N = np.random.default_rng(seed).random(n)
    truth = [index % len(classes) for index in range(n)]
    guess = [t if draw_N[i] < skill else (t + 1) % len(classes) for i, t in enumerate(truth)]
    correct = [t == g for t, g in zip(truth, guess, strict=True)]
    return pa.table(
        {
            "key": [f"{prefix}{index:05d}" for index in range(n)],
            "truth": [classes[t] for t in truth],
            "predicted": [classes[g] for g in guess],
            "correct": correct,
            "rank": pa.array([0 if right else 1 for right in correct], pa.int32()),
            "confidence": pa.array(0.5 + draw_N / 2, pa.float32()),
        }
    )


def classification_record(table: pa.Table, classes: int = len(CLASSES)) -> dict[str, Any]:
    acc1, ci = rate(table.column("correct").to_pylist())
    return {
        "kind": "classification",
        "metric": "acc1",
        "split": "test",
        "n": table.num_rows,
        "metrics": {"acc1": acc1},
        "ci95": {"acc1": ci},
        "chance": 1 / classes,
        "classes": classes,
        "set_digest": DIGEST,
        "source": "wds:/data/mini",
        "unreadable": 0,
    }


def multilabel(n: int, noise: float, seed: int, classes: int = 4) -> pa.Table:
    """Scores are the truth with noise, which is the same for all noises of one seed."""
    truths_NC = np.random.default_rng(0).random((n, classes)) < 0.3
    truths_NC[np.arange(n), np.arange(n) % classes] = True
    noise_NC = np.random.default_rng(seed).normal(size=(n, classes))
    scores_NC = (truths_NC + noise * noise_NC).astype(np.float32)
    best_N = scores_NC.argmax(axis=1)
    names = [f"class {index}" for index in range(classes)]
    return pa.table(
        {
            "key": [f"m{index:05d}" for index in range(n)],
            "truth": [names[int(row.argmax())] for row in truths_NC],
            "predicted": [names[best] for best in best_N],
            "correct": [bool(truths_NC[i, best]) for i, best in enumerate(best_N)],
            "rank": pa.array(np.zeros(n), pa.int32()),
            "confidence": pa.array(np.ones(n), pa.float32()),
            "scores": pa.array(list(scores_NC), pa.list_(pa.float32())),
            "truths": pa.array([row.tolist() for row in truths_NC], pa.list_(pa.bool_())),
        }
    )


def retrieval(n: int, skill: float, seed: int) -> pa.Table:
    rank_N = (np.random.default_rng(seed).random(2 * n) >= skill).astype(int)
    keys = [f"image q{i:04d}" for i in range(n)] + [f"text q{i:04d} #0" for i in range(n)]
    return pa.table(
        {
            "key": keys,
            "truth": [f"caption of {key}" for key in keys],
            "predicted": [HOSTILE if rank_N[i] else f"caption of {k}" for i, k in enumerate(keys)],
            "correct": rank_N == 0,
            "rank": pa.array(rank_N, pa.int32()),
            "confidence": pa.array(np.full(2 * n, 0.5), pa.float32()),
        }
    )


def retrieval_record(table: pa.Table) -> dict[str, Any]:
    half = table.num_rows // 2
    hits_N = table.column("correct").to_numpy(zero_copy_only=False)
    text, text_ci = rate(hits_N[:half])
    image, image_ci = rate(hits_N[half:])
    return {
        "kind": "retrieval",
        "metric": "image_retrieval_recall@1",
        "split": "test",
        "n": half,
        "metrics": {
            "image_retrieval_recall@1": image,
            "image_retrieval_recall@5": 1.0,
            "text_retrieval_recall@1": text,
        },
        "ci95": {"image_retrieval_recall@1": image_ci, "text_retrieval_recall@1": text_ci},
        "set_digest": DIGEST,
        "source": "",
    }


def write_folder(
    folder: Path, tasks: dict[str, tuple[dict[str, Any], pa.Table | None]], **more: Any
) -> Path:
    """OUTPUT with results.json and predictions/."""
    for name, (_, table) in tasks.items():
        path = Path(predictions_path(str(folder), name))
        path.parent.mkdir(parents=True, exist_ok=True)
        if table is not None:
            pq.write_table(table, path)
    record = {
        "tasks": {name: record for name, (record, _) in tasks.items()},
        "absent": {},
        "checkpoint": f"runs/{folder.name}",
        "encoder_digest": DIGEST,
        "checkpoint_step": 1200,
        "seed": 0,
        "code_revision": "abc",
        "transform": "square 224",
        **more,
    }
    (folder / "results.json").write_text(json.dumps(record))
    return folder


def full_record(table: pa.Table) -> dict[str, Any]:
    """Of a classification, with every part that the report knows."""
    record = classification_record(table)
    acc1, ci = record["metrics"]["acc1"], record["ci95"]["acc1"]
    part = {"acc1": acc1, "ci95": ci, "n": 100}
    record |= {
        "metrics": {"acc1": acc1, "acc5": 1.0, "mean_per_class_recall": float("nan")},
        "per_template": {
            "a photo of a {}.": part,
            f"{HOSTILE} {{}}": {"acc1": 0.3, "ci95": [0.2, 0.4]},
            "{}": {"acc1": None, "ci95": None},
        },
        "bare_label": {"acc1": 0.2, "ci95": [0.1, 0.3]},
        "calibration": {
            "ece": 0.07,
            "ece_ci95": [0.03, 0.12],
            "bins": [
                {"n": 0, "confidence": None, "accuracy": None},
                {"n": 90, "confidence": 0.55, "accuracy": 0.5},
                {"n": 110, "confidence": 0.9, "accuracy": 0.7},
            ],
        },
        "groups": {"region": {"asia": part, ARABIC: part, HOSTILE: {**part, "acc1": None}}},
        "per_class": {name: {"n": 40, "recall": 0.1 * i} for i, name in enumerate(CLASSES)},
        "confusions": [
            {"truth": HOSTILE, "predicted": ARABIC, "count": 17, "keys": ["k00001", "broken"]},
            {"truth": "cat", "predicted": HOSTILE, "count": 20, "keys": ["k00000", HOSTILE]},
        ],
        "group_gaps": {
            "region": {
                "gap": 0.2,
                "ci95": [0.1, 0.3],
                "best": "asia",
                "worst": HOSTILE,
                "p_holm": 0.004,
                "comparisons": 2,
            }
        },
        "few_shot": [
            {"shots": shots, "metric": "acc1", "value": 0.2 + shots / 20, "ci95": [0.1, 0.8]}
            for shots in (1, 2, 4)
        ],
        "class_design": {
            "as_given": design(0.4),
            "with_child": design(0.1),
        },
        "unreadable": 2,
        "note": HOSTILE,
    }
    return record


def design(share: float) -> dict[str, Any]:
    part = {"n": 40, "share": share, "ci95": [0.0, 0.9]}
    groups = {"age": {"0-2": part, HOSTILE: part}}
    return {"classes": ["cat", "thief"], "kinds": {HOSTILE: {**part, "groups": groups}}}


def full_folder(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Every section that the report knows, under hostile names; the folder and its record."""
    table = predictions(200, 0.6, 1)
    record = full_record(table)
    queries = retrieval(50, 0.5, 2)
    many = multilabel(60, 0.5, 3)
    tasks = {
        "wds:/data/mini": (record, table),
        "flickr30k": (retrieval_record(queries), queries),
        HOSTILE: ({**classification_record(many, 4), "kind": "multilabel"}, many),
        FORMULA: ({"kind": "classification", "metric": "acc1", "metrics": {}, "n": 0}, None),
    }
    baselines = [("ViT-B-32", 0.63, 0.4), (HOSTILE, 0.76, 0.6), ("RN50", 0.5, 0.2)]
    shifts = {
        "imagenet1k": ({**record, "metrics": {"acc1": 0.6}}, None),
        "imagenet-a": ({**record, "metrics": {"acc1": 0.4}}, None),
    }
    robustness = robustness_record(
        {name: shift for name, (shift, _) in shifts.items()},
        {"imagenet-a": [Baseline(name=n, reference=x, shifted=y) for n, x, y in baselines]},
        seed=0,
    )
    write_folder(
        folder,
        tasks,
        absent={"fmow": f"download it: {HOSTILE}"},
        robustness=robustness,
        versions={"torch": "2.13.0"},
        checkpoint="s3://user:secret@bucket/runs/a/checkpoints/step-1",
    )
    return folder, json.loads((folder / "results.json").read_text())


def jpeg(shade: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (200, 120), (shade, 40, 200)).save(buffer, format="PNG")
    return buffer.getvalue()


def picture(task: str, key: str) -> bytes | None:
    """Known keys have a picture, one is broken, others have none."""
    if key == "broken":
        return b"no picture"
    return jpeg() if key.startswith("k") else None
