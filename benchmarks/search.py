"""Text → image search over a million embeddings, against faiss's exact index in the same run.

    make bench WHAT=search [ARGS="--kinds hnsw ivf --rows 1000000"]

The embeddings are drawn: pictures around many centres, some much larger than others, in 512
dimensions of which few carry most; captions share a picture's place but for noise of their own,
and lie around another mean, as CLIP's do. So captions are questions from outside the pictures'
distribution, which is what makes text → image search hard for an index. Beside them, pictures of
the same mixture are asked for. Each kind is built by `diagonal_eval.search` and then asked one
question at a time in a process of its own, as is the peer.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

import comparison
import machine
from diagonal_eval.dataset import Dataset
from diagonal_eval.embed import write_embeddings
from diagonal_eval.search.index import index_path, open_index
from diagonal_eval.search.kinds import graph_of
from diagonal_eval.search.sources import Embeddings

WIDTH, CENTRES, ROWS_PER_SHARD = 512, 5000, 50_000
NOISE, IMAGE_NOISE, TEXT_NOISE = 0.7, 0.5, 0.9
QUESTIONS, PEER_QUESTIONS, BEST = 500, 50, 10
QUESTION_SEED = 1_000_000
"""Neither that of the centres nor of any shard."""
KINDS = ("hnsw", "ivf", "flat")
GOAL_MS, GOAL_RECALL = 20, 0.99
ASKED = {"text": "captions", "image": "pictures"}
Floats = NDArray[np.float32]


class Mixture:
    """Where embeddings are drawn from."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.spectrum = ((np.arange(WIDTH) + 1.0) ** -0.5).astype(np.float32)
        self.centres = rng.standard_normal((CENTRES, WIDTH), dtype=np.float32) * self.spectrum
        self.means = rng.standard_normal((2, WIDTH), dtype=np.float32) * self.spectrum
        self.weights = rng.dirichlet(np.full(CENTRES, 0.5))

    def draw(self, count: int, seed: int) -> dict[str, NDArray[np.float16]]:
        """Pictures and their captions."""
        rng = np.random.default_rng(seed)
        noise = [
            rng.standard_normal((count, WIDTH), dtype=np.float32) * self.spectrum for _ in range(3)
        ]
        places = self.centres[rng.choice(CENTRES, count, p=self.weights)] + NOISE * noise[0]
        image_ND = unit(places + IMAGE_NOISE * noise[1] + self.means[0])
        text_ND = unit(places + TEXT_NOISE * noise[2] + self.means[1])
        return {"image": image_ND.astype(np.float16), "text": text_ND.astype(np.float16)}


def unit(rows_ND: Floats) -> Floats:
    """Rows of length 1."""
    return rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True)


def main() -> int:
    """Measure, and write the results; or do one step in this process."""
    given = parse()
    if given.step:
        sys.stdout.write(json.dumps(STEPS[given.step](given)))
        return 0
    write_corpus(given)
    rows = {kind: partial(measure, given, kind) for kind in given.kinds}
    target = given.out.with_suffix(".json")
    return comparison.measure_rows(rows, target, ("faiss-cpu", "numpy"), as_markdown)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="embeddings")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["hnsw", "ivf"])
    parser.add_argument("--work", type=Path, default=Path("out/bench-search"), help="for data")
    stem = machine.RESULTS / machine.result_stem("search")
    parser.add_argument("--out", type=Path, default=stem, help="result files, without suffix")
    parser.add_argument("--step", choices=STEPS, help="do this step once")
    parser.add_argument("--kind", choices=KINDS, default="hnsw", help="of the step")
    parser.add_argument("--threads", type=int, default=1, help="of faiss, in the step")
    return parser.parse_args()


def corpus(given: argparse.Namespace) -> Embeddings:
    """The drawn embeddings as the search sees a dataset's."""
    shards = tuple(f"{n:08d}" for n in range(-(-given.rows // ROWS_PER_SHARD)))
    dataset = Dataset(root=str(given.work / f"{given.rows}"), shards=shards, sha256s=shards)
    return Embeddings(dataset=dataset, name="drawn", states=shards, samples=given.rows)


def write_corpus(given: argparse.Namespace) -> None:
    """The sidecars; those that are there are not drawn again."""
    embeddings, mixture = corpus(given), Mixture()
    for number, shard in enumerate(embeddings.dataset.shards):
        path = Path(embeddings.folder, f"{shard}.npz")
        if not path.is_file():
            count = min(ROWS_PER_SHARD, given.rows - number * ROWS_PER_SHARD)
            write_embeddings(str(path), **mixture.draw(count, 1 + number))


def measure(given: argparse.Namespace, kind: str) -> dict[str, Any]:
    """A kind's figures: built once, asked by one thread and by two, and the peer likewise."""
    path = Path(index_path(corpus(given), "image", kind))
    noted = path.with_suffix(".json")
    if not (path.is_file() and noted.is_file()):
        path.unlink(missing_ok=True)
        noted.write_text(json.dumps(in_process(given, "build", kind, 2)))
    asked = {str(n): in_process(given, "ask", kind, n) for n in (1, 2)}
    peer = {str(n): in_process(given, "peer", kind, n) for n in (1, 2)}
    build = json.loads(noted.read_text()) | {"index_bytes": path.stat().st_size}
    return {"rows": given.rows, "build": build, "asked": asked, "peer": peer}


def in_process(given: argparse.Namespace, step: str, kind: str, threads: int) -> dict[str, Any]:
    """The step's answer."""
    words = ["--step", step, "--kind", kind, "--threads", str(threads)]
    words += ["--rows", str(given.rows), "--work", str(given.work)]
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    sys.stderr.write(f"{step} {kind} threads={threads} {found}\n")
    return found


def build(given: argparse.Namespace) -> dict[str, Any]:
    """Build and store the index."""
    faiss.omp_set_num_threads(given.threads)
    started, cpu, before = time.perf_counter(), time.process_time(), peak_bytes()
    found = open_index(corpus(given), "image", given.kind, WIDTH)
    taken = {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "more_bytes": peak_bytes() - before,
        "threads": given.threads,
    }
    return taken | {"setting": setting(found.index, given.kind)}


def peak_bytes() -> int:
    """Most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def setting(index: Any, kind: str) -> int | None:
    """How far the calibration lets it look."""
    if kind == "flat":
        return None
    return index.nprobe if kind == "ivf" else graph_of(index).efSearch


def ask(given: argparse.Namespace) -> dict[str, Any]:
    """Latency and recall of the stored index, and the time to open it."""
    exact = exact_index(given)
    faiss.omp_set_num_threads(given.threads)
    started = time.perf_counter()
    found = open_index(corpus(given), "image", given.kind, WIDTH)
    figures: dict[str, Any] = {"open_seconds": round(time.perf_counter() - started, 3)}
    for key, name in ASKED.items():
        questions_QD = questions(key)
        _, best_QK = exact.search(questions_QD, BEST)
        took, hits = [], 0
        for number in range(-10, QUESTIONS):
            started = time.perf_counter()
            nearest = found.nearest(questions_QD[number], BEST)
            if number >= 0:
                took.append(time.perf_counter() - started)
                ids = [int(shard) * ROWS_PER_SHARD + row for shard, row, _ in nearest]
                hits += len(set(ids) & set(best_QK[number].tolist()))
        figures[name] = times(took) | {"recall_at_10": hits / QUESTIONS / BEST}
    return figures


def peer(given: argparse.Namespace) -> dict[str, Any]:
    """Latency of faiss's exact index."""
    exact = exact_index(given)
    faiss.omp_set_num_threads(given.threads)
    took = []
    for question_D in questions("text")[:PEER_QUESTIONS]:
        started = time.perf_counter()
        exact.search(question_D[None], BEST)
        took.append(time.perf_counter() - started)
    return {"captions": times(took)}


def questions(key: str) -> Floats:
    """Of samples that are not in the index."""
    return Mixture().draw(QUESTIONS, QUESTION_SEED)[key].astype(np.float32)


def exact_index(given: argparse.Namespace) -> Any:
    """IndexFlatIP of all pictures."""
    index, embeddings = faiss.IndexFlatIP(WIDTH), corpus(given)
    for shard in embeddings.dataset.shards:
        index.add(embeddings.rows(shard, "image").astype(np.float32))
    return index


def times(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median and 95th percentile."""
    return {
        "median_ms": round(float(np.median(seconds)) * 1000, 2),
        "p95_ms": round(float(np.percentile(seconds, 95)) * 1000, 2),
    }


STEPS = {"build": build, "ask": ask, "peer": peer}


def as_markdown(result: Mapping[str, Any]) -> str:
    """The comparison, and what each index takes."""
    rows: Mapping[str, Any] = result["rows"]
    lines = [line_for(kind, row, n) for kind, row in rows.items() for n in ("1", "2")]
    built = {kind: built_columns(row) for kind, row in rows.items()}
    count = next(iter(rows.values()))["rows"]
    return "\n\n".join([
        f"# Text → image search over {count:,} embeddings",
        f"{result['machine']}. {comparison.measured_on(rows)} {comparison.packages(result)}. "
        f"{WIDTH} wide; one question at a time, median (95th percentile) of {QUESTIONS}, the peer "
        f"of {PEER_QUESTIONS}; how far an index looks is what its own calibration found, on "
        "captions that are not asked here.",
        comparison.table("faiss IndexFlatIP", lines),
        "The indexes, and how pictures are found by pictures of the same mixture:",
        comparison.columns(built),
    ]) + "\n"  # fmt: skip


def line_for(kind: str, row: Mapping[str, Any], threads: str) -> comparison.Line:
    """A kind asked by so many threads."""
    ours, exact = row["asked"][threads]["captions"], row["peer"][threads]["captions"]
    met = ours["median_ms"] <= GOAL_MS and ours["recall_at_10"] >= GOAL_RECALL
    return comparison.Line(
        measure=f"{kind}, {threads} thread{'s' if threads > '1' else ''}",
        peer=f"{exact['median_ms']:,.1f} ms ({exact['p95_ms']:,.1f})",
        ours=f"{ours['median_ms']:,.1f} ms ({ours['p95_ms']:,.1f}), recall@10 "
        f"{ours['recall_at_10']:.4f}",
        ratio=f"{exact['median_ms'] / ours['median_ms']:.1f}×",
        goal=f"≤ {GOAL_MS} ms at ≥ {GOAL_RECALL}",
        met=met,
    )


def built_columns(row: Mapping[str, Any]) -> dict[str, float]:
    """What an index takes, and its figures for pictures."""
    build, pictures = row["build"], row["asked"]["1"]["pictures"]
    return {
        "by picture, ms": pictures["median_ms"],
        "by picture, recall@10": pictures["recall_at_10"],
        "build, s": build["seconds"],
        "build, CPU s": build["cpu_seconds"],
        "build, memory above the program's own (mapped files too), MiB": round(
            build["more_bytes"] / 2**20
        ),
        "index, MiB": round(build["index_bytes"] / 2**20),
        "open, s": row["asked"]["1"]["open_seconds"],
        "looks at (efSearch, nprobe)": build["setting"] or 0,
    }


if __name__ == "__main__":
    sys.exit(main())
