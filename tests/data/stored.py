"""A dataset folder written directly: pictures are bytes that nobody decodes."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.rows import read_rows, read_sample
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.score_sets import ScoreSet
from diagonal_data.tar import Sample, TarWriter
from diagonal_infra import run_dir


def url_of(index: int) -> str:
    """Every third picture is on a sub-domain."""
    host = "img.example.org" if index % 3 == 0 else f"host{index % 5}.example"
    return f"http://{host}/{index}.jpg"


def caption_of(index: int) -> str:
    return f"picture {index}"


def uid_of(index: int) -> str:
    return uid_for(url_of(index), caption_of(index))


def image_of(index: int) -> bytes:
    return np.random.default_rng(index).bytes(700 + 311 * (index % 7))


def write_dataset(folder: Path, shards: int = 3, size: int = 8) -> str:
    """Shards of `size` rows; the last row of each has failed, with the reason not_found."""
    (folder / "shards").mkdir(parents=True)
    manifest = Manifest(dataset=str(folder), settings={"engine": "native"})
    for number in range(shards):
        indexes = range(number * size, (number + 1) * size)
        manifest.add(_write_shard(folder, f"{number:08d}", indexes))
    manifest.write()
    return str(folder)


def _write_shard(folder: Path, name: str, indexes: range) -> ShardInfo:
    path = folder / "shards" / f"{name}.tar"
    rows = []
    with path.open("wb") as file:
        writer = TarWriter(file)
        for place, index in enumerate(indexes):
            row: dict[str, Any] = {"uid": uid_of(index), "url": url_of(index)}
            row |= {"caption": caption_of(index), "key": f"{name}{place:04d}", "status": "failed"}
            row |= {"page_url": f"http://pages.example/{index // 4}"}
            if index == indexes[-1]:
                rows.append(row | {"reason": "not_found"})
                continue
            image = image_of(index)
            facts = json.dumps({"uid": uid_of(index), "caption": caption_of(index)}).encode()
            members = {"jpg": image, "txt": caption_of(index).encode(), "json": facts}
            extent = writer.add(Sample(key=row["key"], members=members))
            row |= {"tar_offset": extent.offset, "tar_bytes": extent.length, "status": "success"}
            row |= {"sha256": hashlib.sha256(image).hexdigest(), "phash": phash_of(index)}
            rows.append(row)
        writer.close()
    table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
    pq.write_table(table, folder / "shards" / f"{name}.parquet")
    info = ShardInfo(
        name=name,
        candidates=len(indexes),
        samples=len(indexes) - 1,
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        reasons={"not_found": 1},
    )
    stats = {"count": len(indexes), "duration": 1.5, "successes": info.samples, **asdict(info)}
    path.with_name(f"{name}_stats.json").write_bytes(run_dir.to_json(stats))
    return info


def phash_of(index: int) -> int:
    """Apart from each other by many bits."""
    return int.from_bytes(hashlib.sha256(str(index).encode()).digest()[:8], "big")


def add_scores(dataset: str) -> None:
    """A score set and embeddings of every stored sample; the numbers are its index."""
    for path in sorted(Path(dataset).glob("shards/*.parquet")):
        rows = pq.read_table(path, columns=["uid", "caption", "status"]).to_pylist()
        stored = [row for row in rows if row["status"] == "success"]
        indexes = [float(row["caption"].split()[-1]) for row in stored]
        uids = [row["uid"] for row in stored]
        table = pa.table({"uid": uids, "similarity": pa.array(indexes, pa.float32())})
        ScoreSet(dataset=dataset, kind="clip", name="demo").write(path.stem, table, "model 1")
        folder = Path(dataset) / "embeddings" / "demo"
        folder.mkdir(parents=True, exist_ok=True)
        image = np.array(indexes, np.float16)[:, None]
        np.savez(folder / f"{path.stem}.npz", image=image, uid=np.array(uids), source=np.array("m"))


def stored_images(dataset: str) -> dict[str, bytes]:
    """The image of every stored sample by key, through the row tables."""
    rows = read_rows(dataset, ROW_SCHEMA.names).to_pylist()
    return {
        row["key"]: read_sample(dataset, row).members["jpg"]
        for row in rows
        if row["status"] == "success"
    }
