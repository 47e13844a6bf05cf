"""Zero-shot accuracy after training the demo's model: ours against open_clip_train, seed by seed.

    make demo                                   # the dataset
    make bench WHAT=accuracy                    # 5 seeds, about an hour on two cores

Same tower, same kept samples as tars, same samples seen, batch, schedule, optimizer and crops; both
programs augment as they can: ours as the demo recipe says, open_clip_train by its crop alone (its
colour changes are off by default). `ours, crops only` has no other augmentation either. What is
compared is the mean accuracy on the held-out styles, by a paired t interval over the seeds.
"""

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from diagonal_infra import run_dir
from diagonal_train import checkpoint
from diagonal_train.config.augment import AugmentConfig
from diagonal_train.distributed import World
from diagonal_train.encoders import image_encoder
from diagonal_train.encoders.models import build_model, open_clip_settings
from diagonal_train.recipes import TRAIN
from diagonal_train.state import TrainState
from machine import RESULTS, hardware, result_stem, today, versions
from paired import T_95, held_out_accuracy, interval, run_logged

FOLDER = Path(__file__).parent
OURS, PLAIN, PEER = "diagonal", "diagonal, crops only", "open_clip_train"
PROGRAMS = (OURS, PLAIN, PEER)
EPOCH_BATCHES = 50
"""Of open_clip_train, which counts in epochs; 6,400 of the demo's 6,500 kept samples."""


def main() -> None:
    """Train, evaluate, compare, write; what is done is not done again."""
    options = parse()
    tars = kept_samples(options)
    found: dict[str, list[dict[str, float]]] = {program: [] for program in options.programs}
    for seed in range(options.seeds):
        for program in options.programs:
            folder = options.work / f"{program.replace(', ', '-').replace(' ', '-')}-{seed}"
            done = folder / "accuracy.json"
            if not done.is_file():
                done.write_text(json.dumps(run_once(options, folder, tars, program, seed)))
            found[program].append(json.loads(done.read_text()))
            sys.stderr.write(f"seed={seed} program={program} {found[program][-1]}\n")
    others = [program for program in options.programs if program != PEER]
    record = {
        "machine": hardware(),
        "date": today(),
        "code_revision": run_dir.code_revision(),
        "versions": versions(("torch", "open_clip_torch", "webdataset")),
        "samples": options.samples,
        "seeds": options.seeds,
        "accuracy": found,
        "minus_peer": {
            program: {
                name: interval(
                    [a[name] - b[name] for a, b in zip(found[program], found[PEER], strict=True)]
                )
                for name in found[PEER][0]
            }
            for program in others
        },
    }
    Path(f"{options.out}.json").write_text(json.dumps(record, indent=2) + "\n")
    Path(f"{options.out}.md").write_text(as_markdown(record))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", default="out/demo", help="folder of `make demo`")
    parser.add_argument("--seeds", type=int, default=5, help="pairs of runs, at least 2")
    samples = TRAIN["demo"]().samples_seen
    parser.add_argument("--samples", type=int, default=samples, help="samples seen by each run")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"), help="for the runs")
    default = str(RESULTS / result_stem("accuracy"))
    parser.add_argument("--out", default=default, help="result files without their suffix")
    options = parser.parse_args()
    if not 2 <= options.seeds <= max(T_95) or PEER not in options.programs:
        parser.error(f"--seeds must be in 2–{max(T_95)}, and {PEER} be among --programs")
    return options


def kept_samples(options: argparse.Namespace) -> Path:
    """The demo's kept samples as a dataset of their own: open_clip_train reads no keep lists."""
    kept = (options.work / "kept").resolve()
    kept.parent.mkdir(parents=True, exist_ok=True)
    run_logged(
        options.work,
        ["-m", "diagonal_data.reshard", "keep-list", "--dataset", f"{options.demo}/dataset"],
        ["--filter", "demo", "--output", str(kept)],
    )
    return kept


def run_once(
    options: argparse.Namespace, folder: Path, data: Path, program: str, seed: int
) -> dict[str, float]:
    """Accuracies of one run on the held-out styles."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train = train_peer if program == PEER else train_ours
    run = train(options, folder, data, program, seed)
    return held_out_accuracy(folder, run, f"{options.demo}/dataset", options.demo)


def train_ours(
    options: argparse.Namespace, folder: Path, data: Path, program: str, seed: int
) -> str:
    """A run folder of ours."""
    run = str(folder / "run")
    plain = [f"--augment.{name}=0" for name in vars(AugmentConfig())] if program == PLAIN else []
    run_logged(
        folder,
        ["-m", "diagonal_train", "demo", "--data", str(data), "--run", run],
        ["--seed", str(seed), "--samples-seen", str(options.samples)],
        plain,
    )
    return run


def train_peer(
    options: argparse.Namespace, folder: Path, data: Path, _program: str, seed: int
) -> str:
    """open_clip_train's weights in a run folder as ours."""
    recipe = TRAIN["demo"]()
    model = folder / "diagonal-demo.json"
    model.write_text(json.dumps(open_clip_settings(recipe.model)))
    shards = sorted((data / "shards").glob("*.tar"))
    tars = f"{data}/shards/{{{shards[0].stem}..{shards[-1].stem}}}.tar"
    epoch = EPOCH_BATCHES * recipe.global_batch_size
    optimizer, stream = recipe.optimizer, recipe.stream
    crops = [f"scale={stream.crop_scale}", f"ratio={stream.crop_ratio}"]
    run_logged(
        folder,
        [str(FOLDER / "train_peer.py"), str(model), "--model", model.stem, "--train-data", tars],
        ["--dataset-type", "webdataset", "--train-num-samples", str(epoch), "--workers", "1"],
        ["--epochs", str(options.samples // epoch), "--batch-size", str(recipe.global_batch_size)],
        ["--save-frequency", "0", "--device", "cpu", "--precision", recipe.precision],
        ["--logs", str(folder), "--name", "peer", "--seed", str(seed)],
        ["--lr", str(optimizer.lr), "--beta2", str(optimizer.beta2), "--eps", str(optimizer.eps)],
        ["--wd", str(optimizer.weight_decay), "--warmup", str(optimizer.warmup_steps)],
        ["--grad-clip-norm", str(optimizer.clip_grad_norm), "--aug-cfg", *crops],
    )
    (weights,) = (folder / "peer" / "checkpoints").glob("*.pt")
    return as_run(weights, str(folder / "run"), data)


def as_run(weights: Path, run: str, data: Path) -> str:
    """Weights of open_clip_train as a checkpoint that our evaluation reads."""
    image_encoder.register()
    recipe = TRAIN["demo"]()
    run_dir.write_config(run, dataclasses.replace(recipe, data=str(data), run=run))
    torch.manual_seed(0)
    model = build_model(recipe.model)
    state = TrainState(model=model, optimizer=torch.optim.AdamW(model.parameters()))
    save = partial(checkpoint.save, run, World(), state=state, samples_seen=0, data_digest="")
    save(step=0)  # evaluation shows untrained weights beside the trained
    model.clip.load_state_dict(torch.load(weights, weights_only=False)["state_dict"])
    save(step=1)
    return run


def as_markdown(record: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# Accuracy after the same training: Diagonal and open_clip_train",
        "",
        f"{record['machine']}, {record['date']}, code revision {record['code_revision'][:7]}. The "
        f"demo's tower and samples, {record['samples']:,} samples seen, {record['seeds']} seeds, "
        "zero-shot accuracy on the held-out styles in %.",
        "",
        f"| | {PEER} | | | minus {PEER} (95 % interval, paired) | at least equal |",
        "|---|---|---|---|---|---|",
    ]
    for program, measures in record["minus_peer"].items():
        for name, found in measures.items():
            means = [
                f"{100 * statistics.mean(run[name] for run in record['accuracy'][one]):.2f}"
                for one in (PEER, program)
            ]
            span = f"{100 * found['low']:+.2f} … {100 * found['high']:+.2f}"
            equal = "yes" if found["high"] >= 0 else "**no**"
            lines.append(
                f"| {name} | {means[0]} | {program} | {means[1]} "
                f"| {100 * found['mean']:+.2f} ({span}) | {equal} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
