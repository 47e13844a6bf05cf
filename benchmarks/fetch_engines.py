"""The two programs that are compared, each as a command line with the same settings.

`img2dataset` is version 1.47 by itself: its own processes, threads and writer. `diagonal` is `make
shards` on Ray, `diagonal-local` the same in one process. Where a setting has no counterpart the
program's default stands: ours asks robots.txt, heeds opt-outs and checks addresses.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import fetch_corpus
import measure
from diagonal_data.schema import candidate_for, candidates_table
from diagonal_infra.errors import DiagonalError
from fetch_servers import Server

PEER, OURS, LOCAL = "img2dataset", "diagonal", "diagonal-local"
KEPT_TOLERANCE = 0.02
PEER_SCRIPT = Path(__file__).parent / "fetch_img2dataset.py"
# Its import would otherwise ask the internet for a newer albumentations, in every process.
ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How much to measure, and where the files go."""

    images: int
    small: int
    """Images of the short runs that stand for start-up."""
    repeats: int
    work: Path

    @property
    def corpora(self) -> Path:
        """Folder of usual/ and refused/."""
        return self.work / "corpus"

    def usual(self, count: int) -> list[fetch_corpus.CorpusImage]:
        """The first images of the usual corpus."""
        return fetch_corpus.ensure_corpus(self.corpora / "usual", count)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both programs are told."""

    samples_per_shard: int
    workers: int = 2
    image_size: int = 256
    quality: int = 95
    peer_threads: int = 64
    """img2dataset's threads per process."""
    max_in_flight: int | None = None
    """Our requests in flight per worker; None is our default."""
    max_per_host: int = 64
    """Our requests in flight to one host: the whole corpus lies on one."""
    timeout_seconds: int = 10
    min_side: int | None = None
    max_aspect: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run of a program."""

    usage: measure.Usage
    images: int
    """URLs asked for."""
    kept: int
    """Images in its shards."""


def run_program(
    program: str, urls: Sequence[str], folder: Path, settings: Settings, server: Server
) -> Run:
    """Run one program over the URLs into an empty `folder`, measured.

    Raises:
        DiagonalError: the program failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    candidates = folder / "candidates.parquet"
    _write_candidates(urls, candidates)
    command_of = _peer_command if program == PEER else _our_command
    command = command_of(candidates, folder / "dataset", settings, server)
    if program == LOCAL:
        command.append("--local")
    usage = measure.run_measured(command, folder, server_pid=server.pid, environment=ENVIRONMENT)
    kept = read_rows(program, folder)["status"].to_pylist().count("success")
    return Run(usage=usage, images=len(urls), kept=kept)


def check_kept(program: str, run: Run, expected: float) -> None:
    """Refuse figures of a run that lost images, or kept what it should have refused.

    Raises:
        DiagonalError: the share of URLs that became images is not the expected one.
    """
    if abs(run.kept / run.images - expected) > KEPT_TOLERANCE:
        raise DiagonalError(
            f"{program} kept {run.kept} of {run.images} images where {expected:.0%} were expected; "
            "its figures would mean nothing"
        )


def shards_of(program: str, folder: Path) -> Path:
    """Where a program's tars and row tables lie after `run_program`."""
    return folder / "dataset" if program == PEER else folder / "dataset" / "shards"


def read_rows(program: str, folder: Path) -> pa.Table:
    """key, url, status of every row of a run.

    Raises:
        DiagonalError: the run wrote no rows.
    """
    paths = sorted(shards_of(program, folder).glob("*.parquet"))
    if not paths:
        raise DiagonalError(f"{program} wrote no row tables; see {folder}/log.txt")
    return pa.concat_tables(
        [pq.read_table(path, columns=["key", "url", "status"]) for path in paths],
        promote_options="permissive",
    )


def _write_candidates(urls: Sequence[str], path: Path) -> None:
    captions = fetch_corpus.captions(len(urls))
    rows = [candidate_for(url, caption) for url, caption in zip(urls, captions, strict=True)]
    pq.write_table(candidates_table(rows), path)


def _peer_command(candidates: Path, output: Path, settings: Settings, _: Server) -> list[str]:
    told: dict[str, Any] = {
        "url_list": str(candidates.resolve()),
        "output_folder": str(output.resolve()),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "output_format": "webdataset",
        "processes_count": settings.workers,
        "thread_count": settings.peer_threads,
        "number_sample_per_shard": settings.samples_per_shard,
        "image_size": settings.image_size,
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": False,
        "encode_quality": settings.quality,
        "compute_hash": "sha256",
        "timeout": settings.timeout_seconds,
        "retries": 0,
        "enable_wandb": False,
    }
    if settings.min_side is not None:
        told["min_image_size"] = settings.min_side
    if settings.max_aspect is not None:
        told["max_aspect_ratio"] = settings.max_aspect
    return [sys.executable, str(PEER_SCRIPT), json.dumps(told)]


def _our_command(candidates: Path, output: Path, settings: Settings, server: Server) -> list[str]:
    flags = {
        "--candidates": candidates,
        "--dataset": output,
        "--image-size": settings.image_size,
        "--resize-mode": "keep_ratio",
        "--decode.quality": settings.quality,
        "--samples-per-shard": settings.samples_per_shard,
        "--workers": settings.workers,
        "--fetch.max-per-host": settings.max_per_host,
        "--fetch.max-in-flight": settings.max_in_flight,
        "--fetch.connect-timeout-seconds": settings.timeout_seconds,
        "--fetch.first-byte-timeout-seconds": settings.timeout_seconds,
        "--fetch.timeout-seconds": settings.timeout_seconds,
        "--fetch.retries": 0,
        "--decode.min-side": settings.min_side,
        "--decode.max-aspect": settings.max_aspect,
    }
    words = [str(word) for pair in flags.items() if pair[1] is not None for word in pair]
    command = [sys.executable, "-m", "diagonal_data.shards", "web", *words, "--no-only-if-bigger"]
    return [*command, "--allow-hosts", *server.hosts]
