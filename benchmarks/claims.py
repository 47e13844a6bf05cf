"""The CLIP paper's claims as experiments on the demo's drawings; docs/results.md tells of them.

    make demo                                   # the dataset
    make bench WHAT=claims                      # 10 arms, 3 seeds, about an hour on one core
    make bench WHAT=claims ARGS="--only contrastive,words --seeds 2 --samples 12800"

Every arm is the demo's recipe with one thing changed (claims/arms.py), shorter than the demo. What
is compared is zero-shot accuracy on styles of drawing that no arm was trained on, by a paired t
interval over the seeds. A run's result is a file in the work folder: killed, it goes on behind the
last one; `--only` adds to what is there.
"""

import argparse
import json
import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from claims import arms, contrastive, exam, page, plots, prediction, table
from comparison import chosen_rows
from diagonal_data.filters.keep_list import filter_folder, write_keep_list
from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.rows import read_rows
from diagonal_infra import run_dir
from diagonal_train.recipes import TRAIN
from machine import RESULTS, hardware, result_stem, today, versions
from paired import T_95

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """Train and judge what is not done, then write the table, the page and its charts."""
    options = parse()
    torch.set_num_threads(1)
    data = kept_samples(options)
    questions = exam.read_exam(options.demo, TRAIN["demo"]().model.image_size)
    for seed in range(options.seeds):
        for name in options.only:
            path = result_path(options, name, seed)
            if not path.is_file():
                write_whole(path, run_dir.to_json(run_once(options, data, questions, name, seed)))
            final = json.loads(path.read_text())["points"][-1]
            sys.stderr.write(f"seed={seed} arm={name} top1={final['top1']:.3f}\n")
    record = gather(options)
    write_whole(Path(f"{options.out}.json"), run_dir.to_json(record))
    write_whole(Path(f"{options.out}.md"), table.as_markdown(record).encode())
    link = os.path.relpath(f"{options.out}.md", options.docs)
    write_whole(options.docs / "results.md", page.as_page(record, link).encode())
    for name, chart in plots.charts(record).items():
        write_whole(options.docs / "results" / f"{name}.svg", chart.encode())


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", default="out/demo", help="folder of `make demo`")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")
    parser.add_argument("--samples", type=int, default=51_200, help="samples seen by each run")
    only = partial(chosen_rows, list(arms.ARMS))
    parser.add_argument("--only", type=only, default=list(arms.ARMS), help="arms, by commas")
    parser.add_argument("--work", type=Path, default=Path("out/claims"), help="for the runs")
    default = str(RESULTS / result_stem("claims"))
    parser.add_argument("--out", default=default, help="result files without their suffix")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder for results.md, its charts")
    options = parser.parse_args()
    if not 1 <= options.seeds <= max(T_95):
        parser.error(f"--seeds must be in 1–{max(T_95)}, got {options.seeds}")
    return options


def kept_samples(options: argparse.Namespace) -> str:
    """The demo's kept samples as a dataset of our own, with keep lists of a half and a quarter."""
    kept = str(options.work / "kept")
    reshard(
        ReshardConfig(dataset=f"{options.demo}/dataset", filter="demo", output=kept, local=True)
    )
    uids = read_rows(kept, ["uid"])["uid"].to_pylist()
    for seed in range(options.seeds):
        shuffled = np.random.default_rng(seed).permutation(sorted(uids)).tolist()
        for share in {arm.data_share for arm in arms.ARMS.values()} - {1.0}:
            folder = filter_folder(kept, arms.filter_name(share, seed))
            write_keep_list(f"{folder}/keep.npy", shuffled[: round(share * len(uids))])
    return kept


def run_once(
    options: argparse.Namespace, data: str, questions: exam.Exam, name: str, seed: int
) -> dict[str, Any]:
    """What one run of an arm gave."""
    began = time.process_time()
    arm, run = arms.ARMS[name], options.work / f"runs-{options.samples}" / f"{name}-{seed}"
    config = arms.config_for(arm, samples=options.samples, seed=seed, data=data, run=str(run))
    record: dict[str, Any] = {"arm": name, "seed": seed, "code_revision": run_dir.code_revision()}
    if arm.method == "contrastive":
        contrastive.train_contrastive(arm, config)
        trained = time.process_time()
        record["points"] = contrastive.judge_run(config, questions)
        record["logit_scale"] = contrastive.final_logit_scale(config)
        if name == arms.BASE:
            record["prompts"] = contrastive.judge_prompts(config, questions)
        record["train_cpu_seconds"] = round(trained - began, 1)
        shutil.rmtree(run)
    else:
        captions = read_rows(data, ["caption"])["caption"].to_pylist()
        whole = arm.method == "captions"
        predictor = prediction.build_predictor(config, captions, whole=whole)
        record["points"] = prediction.train_predictor(predictor, config, questions)
    record["cpu_seconds"] = round(time.process_time() - began, 1)
    return record


def result_path(options: argparse.Namespace, name: str, seed: int) -> Path:
    """The file of one run's result."""
    return options.work / f"results-{options.samples}" / f"{name}-{seed}.json"


def gather(options: argparse.Namespace) -> dict[str, Any]:
    """All runs that are done, by arm; an arm counts if it has all seeds."""
    runs = {}
    for name in arms.ARMS:
        paths = [result_path(options, name, seed) for seed in range(options.seeds)]
        if all(path.is_file() for path in paths):
            runs[name] = [json.loads(path.read_text()) for path in paths]
    found = [run for of_arm in runs.values() for run in of_arm]
    return {
        "machine": hardware(),
        "date": today(),
        "code_revision": ", ".join(sorted({run["code_revision"] for run in found})),
        "versions": versions(("torch", "open_clip_torch")),
        "samples": options.samples,
        "seeds": options.seeds,
        "cpu_seconds": round(sum(run["cpu_seconds"] for run in found), 1),
        "runs": runs,
    }


def write_whole(path: Path, content: bytes) -> None:
    """A file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(content)
    aside.replace(path)


if __name__ == "__main__":
    main()
