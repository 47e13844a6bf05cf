"""What scoring waits for and how fast it is: every kind on the same shards, one process each.

    make bench WHAT=scores [ARGS="--samples 2000 --kinds clip-small image"]

Pictures are stream_corpus.py's, 256 pixels at the shorter side, written as a dataset with row
tables. The models are untrained: speed does not depend on the weights. `data_wait_share` is the
share of the time in which the model had no batch to work on, the first of a shard included; kinds
without a model have none. Times leave out starting Python and loading the model.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import stream_corpus
from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.dataset import open_dataset
from diagonal_eval.scores.config import (
    ClipConfig,
    ImageConfig,
    OcrConfig,
    SafetyConfig,
    ScoresConfig,
    TextConfig,
)
from diagonal_eval.scores.run import Counts, build_scorer, missing_units, score_set, score_shard
from diagonal_infra import run_dir
from diagonal_train import recipes
from diagonal_train.config.model import ModelConfig, VisionConfig
from diagonal_train.config.model import TextConfig as TextEncoder
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.encoders.models import build_model, build_tokenizer
from diagonal_train.exporting.open_clip import write_open_clip
from machine import RESULTS, hardware, result_stem, today, versions

SHARDS = 2
GOAL = 0.05
SMALL = ModelConfig(
    embed_dim=256,
    vision=VisionConfig(patch_size=32, width=256, layers=6),
    text=TextEncoder(width=256, heads=4, layers=4),
)
MODELS = {"clip-demo": recipes.demo().model, "clip-small": SMALL}
"""The demo's at 48 pixels, and a ViT of 6 layers at 224."""
KINDS = (*MODELS, "image", "text", "safety", "ocr")
SHARES = {"safety": 10, "ocr": 40}
"""Every so many samples are enough for the slow kinds."""


def main() -> None:
    """Measure, and write the results; or score once."""
    given = parse()
    if given.one:
        sys.stdout.write(json.dumps(score_once(given)))
        return
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in given.kinds}
    for kind in given.kinds:
        write_dataset(given.work, samples_of(kind, given))
        if kind in MODELS:
            write_model(given.work / kind, MODELS[kind])
    for kind in given.kinds * given.repeat:
        words = ["--one", kind, "--samples", str(given.samples), "--work", str(given.work)]
        command = [sys.executable, __file__, *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        runs[kind].append(json.loads(done.stdout))
        sys.stderr.write(f"{kind} {runs[kind][-1]}\n")
    packages = ("torch", "onnxruntime", "opencv-python-headless", "rapidocr-onnxruntime")
    record = {
        **{"machine": hardware(), "date": today(), "code_revision": run_dir.code_revision()},
        **{"versions": versions(packages), "repeat": given.repeat, "runs": runs},
    }
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    given.out.with_suffix(".md").write_text(as_markdown(record))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=2000, help="of the corpus")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the median")
    parser.add_argument("--work", type=Path, default=Path("out/bench-scores"), help="for data")
    stem = RESULTS / result_stem("scores")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    parser.add_argument("--one", choices=KINDS, help="score this kind once")
    return parser.parse_args()


def samples_of(kind: str, given: argparse.Namespace) -> int:
    """Samples that a kind is measured on."""
    return given.samples // SHARES.get(kind, 1)


def config_for(kind: str, given: argparse.Namespace) -> ScoresConfig:
    """The kind on its corpus, in one process."""
    dataset = str(dataset_folder(given.work, samples_of(kind, given)))
    if kind in MODELS:
        folder = given.work / kind
        return ClipConfig(dataset=dataset, model=f"local-dir:{folder}", name=kind, local=True)
    kinds = {"image": ImageConfig, "text": TextConfig, "safety": SafetyConfig, "ocr": OcrConfig}
    return kinds[kind](dataset=dataset, local=True)


def score_once(given: argparse.Namespace) -> dict[str, float]:
    """All shards anew; what it took."""
    config = config_for(given.one, given)
    found, dataset = score_set(config), open_dataset(config.dataset)
    shutil.rmtree(found.folder, ignore_errors=True)
    scorer = build_scorer(config)
    cpu, counts = time.process_time(), Counts()
    for unit in missing_units(dataset, found, scorer):
        counts += score_shard(unit, dataset, found, scorer)
    cpu = time.process_time() - cpu
    taken = {"samples": counts.samples, "seconds": counts.seconds, "cpu_seconds": cpu}
    taken |= {"samples_per_second": counts.samples / counts.seconds}
    return taken | ({"data_wait_share": counts.data_wait_share} if scorer.model else {})


def dataset_folder(work: Path, samples: int) -> Path:
    """Where the corpus of so many samples is."""
    return work / f"dataset-{samples}"


def write_dataset(work: Path, samples: int) -> None:
    """Shards, row tables and manifest; what is there is not made again."""
    folder = dataset_folder(work, samples)
    if (folder / "manifest.json").is_file():
        return
    pictures = stream_corpus.ensure_pictures(work / "pictures", 256, min(samples, 1000))
    manifest = Manifest(dataset=str(folder), settings={})
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    for shard in range(SHARDS):
        name, rows = f"{shard:08d}", []
        with (folder / "shards" / f"{name}.tar").open("wb") as file:
            writer = TarWriter(file)
            for number in range(shard * samples // SHARDS, (shard + 1) * samples // SHARDS):
                caption, url = stream_corpus.caption(number), f"http://a.example/{number}"
                row: dict[str, Any] = {
                    "uid": uid_for(url, caption),
                    "url": url,
                    "status": "success",
                }
                content = pictures[number % len(pictures)].read_bytes()
                members = {"jpg": content, "txt": caption.encode(), "json": b"{}"}
                extent = writer.add(Sample(key=f"{number:09d}", members=members))
                row |= {"tar_offset": extent.offset, "tar_bytes": extent.length, "caption": caption}
                rows.append(row)
            writer.close()
        table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
        pq.write_table(table, folder / "shards" / f"{name}.parquet")
        sha256 = hashlib.sha256((folder / "shards" / f"{name}.tar").read_bytes()).hexdigest()
        count = len(rows)
        manifest.add(ShardInfo(name=name, candidates=count, samples=count, bytes=0, sha256=sha256))
    manifest.write()


def write_model(folder: Path, config: ModelConfig) -> None:
    """An untrained model as open_clip's folder."""
    if not folder.is_dir():
        torch.manual_seed(0)
        folder.mkdir(parents=True)
        model, tokenizer = build_model(config).eval(), build_tokenizer(config)
        write_open_clip(
            folder, LoadedModel(model=model, tokenizer=tokenizer, config=config, step=0)
        )


def as_markdown(record: dict[str, Any]) -> str:
    """The table of medians, and what came of the goal."""
    lines = [
        f"# Scores · {record['date']}",
        "",
        f"{record['machine']}; pictures of 256 pixels, {SHARDS} shards, one process; medians of "
        f"{record['repeat']}, `{record['code_revision'][:12]}`.",
        "",
        "| kind | samples | samples/s | CPU-ms per sample | waits for data |",
        "|---|---|---|---|---|",
    ]
    shares = {}
    for kind, runs in record["runs"].items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        waits = "–"
        if "data_wait_share" in median:
            shares[kind] = median["data_wait_share"]
            waits = f"{shares[kind]:.1%}"
        per_sample = 1000 * median["cpu_seconds"] / median["samples"]
        cells = [kind, f"{median['samples']:,.0f}", f"{median['samples_per_second']:,.1f}"]
        lines.append(f"| {' | '.join([*cells, f'{per_sample:,.1f}', waits])} |")
    for kind in MODELS:
        if kind in shares:
            verdict = "met" if shares[kind] <= GOAL else "**not met**"
            lines.append(f"\nGoal for {kind}, to wait at most {GOAL:.0%}: {verdict}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
