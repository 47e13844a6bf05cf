"""A dataset of made-up rows with score sets, and the same rows as a DataComp pool of metadata.

    FOLDER/ours/{manifest.json, shards/*.parquet, scores/{clip/b32, clip/l14, text/lid}/*.parquet}
    FOLDER/pool/*.parquet        DataComp's columns, 100,000 rows in a file

There are no tars: a recipe reads none. Hosts and concepts follow a power law, as on the web.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.score_sets import ScoreSet

ROWS_PER_SHARD = 10_000
SHARDS_PER_POOL_FILE = 10
HOSTS, CONCEPTS, WORDS = 200_000, 50_000, 5_000
FAILED = 0.02
"""Share of rows without a sample; a pool of DataComp's has none of them."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Both forms of the same rows."""

    folder: Path
    rows: int

    @property
    def dataset(self) -> Path:
        """Row tables and score sets."""
        return self.folder / "ours"

    @property
    def pool(self) -> Path:
        """DataComp's metadata files."""
        return self.folder / "pool"


def build_corpus(folder: Path, rows: int) -> Corpus:
    """Make the files that are not there yet."""
    corpus = Corpus(folder=folder, rows=rows)
    manifest = Manifest(dataset=str(corpus.dataset), settings={})
    corpus.pool.mkdir(parents=True, exist_ok=True)
    (corpus.dataset / "shards").mkdir(parents=True, exist_ok=True)
    pool: list[pa.Table] = []
    for number in range(rows // ROWS_PER_SHARD):
        name = f"{number:08d}"
        path = corpus.pool / f"{number // SHARDS_PER_POOL_FILE:08d}.parquet"
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        samples = ROWS_PER_SHARD - round(ROWS_PER_SHARD * FAILED)
        manifest.add(
            ShardInfo(
                name=name,
                candidates=ROWS_PER_SHARD,
                samples=samples,
                bytes=0,
                sha256=sha256,
                reasons={"not_found": ROWS_PER_SHARD - samples},
            )
        )
        if path.exists():
            continue
        pool.append(_write_shard(corpus, name, sha256, np.random.default_rng(number)))
        if len(pool) == SHARDS_PER_POOL_FILE or number + 1 == rows // ROWS_PER_SHARD:
            pq.write_table(pa.concat_tables(pool), path)
            pool = []
    manifest.write()
    return corpus


def _write_shard(corpus: Corpus, name: str, sha256: str, rng: np.random.Generator) -> pa.Table:
    """One shard's row table and score tables; its samples in DataComp's columns."""
    rows = _row_table(name, rng)
    pq.write_table(rows, corpus.dataset / "shards" / f"{name}.parquet")
    stored = rows.filter(pc.field("status") == "success")
    scores = _scores(stored, rng)
    for (kind, set_name), columns in scores.items():
        target = ScoreSet(dataset=str(corpus.dataset), kind=kind, name=set_name)
        target.write(name, pa.table({"uid": stored["uid"], **columns}), sha256)
    return pa.table(
        {
            "uid": stored["uid"],
            "url": stored["url"],
            "text": stored["caption"],
            "original_width": stored["original_width"].cast(pa.int64()),
            "original_height": stored["original_height"].cast(pa.int64()),
            "clip_b32_similarity_score": scores["clip", "b32"]["similarity"],
            "clip_l14_similarity_score": scores["clip", "l14"]["similarity"],
            "sha256": stored["sha256"],
            # What fastText says, as a column: both sides are spared the language model.
            "lang": scores["text", "lid"]["lang"],
        }
    )


def _row_table(name: str, rng: np.random.Generator) -> pa.Table:
    count = ROWS_PER_SHARD
    words = pa.array([f"word{n}" for n in range(WORDS)])
    places = rng.zipf(1.3, (8, count)) % WORDS
    caption = _joined([words.take(pa.array(row)) for row in places], " ")
    hosts = pa.array([f"https://img{n}.example.org/" for n in range(HOSTS)])
    host = hosts.take(pa.array(rng.zipf(1.2, count) % HOSTS))
    path = pa.array([f"{name}/{n}.jpg?w=640" for n in range(count)])
    failed = np.arange(count) >= count - round(count * FAILED)
    failed = rng.permutation(failed)
    absent = {field.name: pa.nulls(count, field.type) for field in ROW_SCHEMA}
    known = {
        "uid": _hex(rng, count, 16),
        "url": _joined([host, path], ""),
        "caption": caption,
        "caption_raw": caption,
        "key": pa.array([f"{name}{n:04d}" for n in range(count)]),
        "status": pa.array(np.where(failed, "failed", "success")),
        "reason": pa.array(["not_found" if gone else None for gone in failed]),
        "original_width": pa.array(rng.integers(100, 2000, count), mask=failed),
        "original_height": pa.array(rng.integers(100, 2000, count), mask=failed),
        "sha256": pa.array(_hex(rng, count, 32).to_pylist(), mask=failed),
        "phash": pa.array(rng.integers(0, 1 << 63, count).astype(np.uint64), mask=failed),
        "tar_offset": pa.array(np.arange(count) * 30_000, mask=failed),
        "tar_bytes": pa.array(np.full(count, 30_000), mask=failed),
    }
    columns = absent | known
    return pa.table([columns[f.name].cast(f.type) for f in ROW_SCHEMA], schema=ROW_SCHEMA)


def _joined(parts: list[pa.Array], sign: str) -> pa.Array:
    return pc.call_function("binary_join_element_wise", [*parts, pa.scalar(sign)])


def _hex(rng: np.random.Generator, count: int, size: int) -> pa.Array:
    digits = rng.bytes(count * size).hex()
    return pa.array([digits[at : at + 2 * size] for at in range(0, len(digits), 2 * size)])


def _scores(
    stored: pa.Table, rng: np.random.Generator
) -> dict[tuple[str, str], dict[str, pa.Array]]:
    count = stored.num_rows
    similarity = rng.normal(0.22, 0.06, (2, count)).astype(np.float32)
    concepts = (rng.zipf(1.3, (count, 3)) % CONCEPTS).astype(np.int32)
    offsets = pa.array(np.arange(0, 3 * count + 1, 3, dtype=np.int32))
    return {
        ("clip", "b32"): {"similarity": pa.array(similarity[0])},
        ("clip", "l14"): {"similarity": pa.array(similarity[1])},
        ("text", "lid"): {
            "lang": pa.array(np.array(["en", "de", "zh"])[rng.choice(3, count, p=[0.5, 0.3, 0.2])]),
            "lang_p": pa.array(rng.random(count, dtype=np.float32)),
            "chars": pa.array([len(text) for text in stored["caption"].to_pylist()]),
            "words": pa.array(np.full(count, 8, np.int32)),
            "concepts": pa.ListArray.from_arrays(offsets, pa.array(concepts.reshape(-1))),
        },
    }
