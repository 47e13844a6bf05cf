"""The contrastive loss in tiles against open_clip's ClipLoss: memory and time, with gradients.

    make bench WHAT=loss [ARGS="--batches 8192 16384"]

Every figure is of a fresh process with one thread, float32, features of width 512. Memory is the
peak above the process as it was with its inputs. open_clip's grows with the square of the batch, so
it is measured up to `--peer-largest` only. With `--ranks`, one more figure: the softmax loss of a
batch that so many processes share, over gloo, and the memory of the one that needed most.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from open_clip.loss import ClipLoss
from torch import Tensor

from diagonal_infra import run_dir
from diagonal_train.distributed import from_environment, in_process_group
from diagonal_train.loss import Kind, contrastive_loss
from fetch_servers import free_port
from machine import RESULTS, hardware, result_stem, today, versions

WIDTH, SCALE = 512, 14.3
OURS, PEER = "diagonal softmax", "open_clip ClipLoss"
LOSSES = (PEER, OURS, "diagonal sigmoid")
GOAL_MB, GOAL_TIME, GOAL_SHARED_MB = 120, 0.6, 720
JUDGED = 16_384
MB = 1e6


def main() -> None:
    """Measure what was asked for and write the results."""
    given = parse()
    if given.one:
        world = from_environment()
        measured = in_process_group(world, partial(measure_once, given.one, given.batches[0]))
        sys.stdout.write(json.dumps(measured))
        return
    found = {}
    for batch in given.batches:
        for loss in LOSSES:
            if loss == PEER and batch > given.peer_largest:
                continue
            runs = [in_a_process(loss, batch) for _ in range(given.repeat)]
            found.setdefault(str(batch), {})[loss] = {
                key: statistics.median(run[key] for run in runs) for key in runs[0]
            }
            sys.stderr.write(f"{loss} {batch} {found[str(batch)][loss]}\n")
    shared = over_ranks(given.ranks, given.shared_batch) if given.ranks else None
    record = {
        "machine": hardware(),
        "date": today(),
        "code_revision": run_dir.code_revision(),
        "versions": versions(("torch", "open_clip_torch")),
        "width": WIDTH,
        "batches": found,
        "shared": shared,
    }
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    given.out.with_suffix(".md").write_text(as_markdown(record))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [4096, 8192, 16_384, 65_536]
    parser.add_argument("--batches", type=int, nargs="+", default=sizes, help="samples")
    parser.add_argument("--peer-largest", type=int, default=16_384, help="for open_clip")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median")
    parser.add_argument("--ranks", type=int, default=8, help="of the shared batch; 0: no such row")
    shared = 131_072
    parser.add_argument("--shared-batch", type=int, default=shared, help="samples of all ranks")
    stem = RESULTS / result_stem("loss")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    parser.add_argument("--one", choices=LOSSES, help="measure one in this process, as JSON")
    return parser.parse_args()


def in_a_process(loss: str, batch: int) -> dict[str, float]:
    """`measure_once` where nothing was before it."""
    command = [sys.executable, __file__, "--one", loss, "--batches", str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def over_ranks(ranks: int, batch: int) -> dict[str, float]:
    """The softmax loss of one batch on several processes: all their CPU-seconds, most memory."""
    command = [sys.executable, __file__, "--one", OURS, "--batches", str(batch // ranks)]
    names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | names | {"RANK": str(rank)}
        )
        for rank in range(ranks)
    ]
    found = [json.loads(process.communicate()[0]) for process in running]
    return {
        "ranks": ranks,
        "samples": batch,
        "cpu_seconds": sum(one["cpu_seconds"] for one in found),
        "memory_mb": max(one["memory_mb"] for one in found),
    }


def measure_once(loss: str, batch: int) -> dict[str, float]:
    """CPU-seconds and peak memory of one value with all gradients."""
    torch.set_num_threads(1)
    compute = loss_of(loss)
    warm = inputs(256)
    # As in training, where features are no leaves: `backward` would copy the gradients of leaves.
    torch.autograd.grad(compute(*warm), warm)
    given = inputs(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    torch.autograd.grad(compute(*given), given)
    seconds = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu_seconds": seconds, "memory_mb": (after - before) * 1024 / MB}


def loss_of(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss by its name in the table."""
    if name == PEER:
        return ClipLoss()
    kind: Kind = "softmax" if name == OURS else "sigmoid"
    return lambda image, text, scale: contrastive_loss(image, text, scale, kind=kind)


def inputs(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random features of length 1 and a scale; what they are does not matter to the time."""
    rng = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(2):
        features = torch.randn(batch, WIDTH, generator=rng)
        features /= features.norm(dim=1, keepdim=True)
        parts.append(features.requires_grad_())
    return parts[0], parts[1], torch.tensor(SCALE, requires_grad=True)


def as_markdown(record: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        "# The contrastive loss: memory and time",
        "",
        f"{record['machine']}, {record['date']}, code revision {record['code_revision'][:7]}, "
        f"torch {record['versions']['torch']}. Value and all gradients, float32, width {WIDTH}, "
        "one thread; memory above the inputs, with the gradients of the features. "
        "`make bench WHAT=loss` measures again.",
        "",
        "| samples | loss | CPU s | MB |",
        "|---|---|---|---|",
    ]
    for batch, found in record["batches"].items():
        for loss, row in found.items():
            figures = f"{row['cpu_seconds']:.2f} | {row['memory_mb']:,.0f}"
            lines.append(f"| {int(batch):,} | {loss} | {figures} |")
    shared = record["shared"]
    if shared:
        memory, ranks = shared["memory_mb"], shared["ranks"]
        lines += [
            "",
            f"{shared['samples']:,} samples on {ranks} ranks: {memory:,.0f} MB on the rank that "
            f"needed most (goal ≤ {GOAL_SHARED_MB}: {verdict(memory <= GOAL_SHARED_MB)}), "
            f"{shared['cpu_seconds']:.0f} CPU s of all ranks together.",
        ]
    judged = record["batches"].get(str(JUDGED), {})
    if {OURS, PEER} <= judged.keys():
        ours, peer = judged[OURS], judged[PEER]
        time_ratio, memory = ours["cpu_seconds"] / peer["cpu_seconds"], ours["memory_mb"]
        lines += [
            "",
            f"At {JUDGED:,} samples: {time_ratio:.2f} of ClipLoss's time (goal ≤ {GOAL_TIME}: "
            f"{verdict(time_ratio <= GOAL_TIME)}), {memory:,.0f} MB (goal ≤ {GOAL_MB}: "
            f"{verdict(memory <= GOAL_MB)}).",
        ]
    return "\n".join(lines) + "\n"


def verdict(met: bool) -> str:
    """As the other tables say it."""
    return "met" if met else "**not met**"


if __name__ == "__main__":
    main()
