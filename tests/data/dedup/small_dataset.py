"""Dataset folders written by hand: row tables, tars of small pictures, embeddings."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.parquet import read_parquet
from diagonal_data.phash import phash
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import Sample, TarWriter


def picture(seed: int, side: int = 64) -> np.ndarray:
    """RGB with structure at low frequencies; other seeds are far apart."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels[:, :, ::-1])[1].tobytes()


def row_for(number: int, pixels: np.ndarray | None, **columns: Any) -> dict[str, Any]:
    """A row and its picture; without pixels one that failed."""
    row: dict[str, Any] = {
        "uid": f"{number:032x}",
        "url": f"http://h.test/{number}",
        "caption": f"picture {number}",
        "status": "failed",
        "reason": "not_found",
    }
    if pixels is not None:
        height, width = pixels.shape[:2]
        content = encoded(pixels)
        row |= {
            "status": "success",
            "reason": None,
            "key": f"{number:09d}",
            "original_width": width,
            "original_height": height,
            "sha256": hashlib.sha256(content).hexdigest(),
            "phash": phash(pixels),
            "content": content,
        }
    return row | columns


def write_dataset(folder: Path, shards: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Shards 00000000, 00000001 … of rows by `row_for`, and their manifest."""
    manifest = Manifest(dataset=str(folder), settings={})
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(shards):
        name = f"{number:08d}"
        path = folder / "shards" / f"{name}.tar"
        placed = []
        with path.open("wb") as file:
            writer = TarWriter(file)
            for row in rows:
                row = dict(row)
                content = row.pop("content", None)
                if content is not None:
                    sample = Sample(key=row["key"], members={"png": content, "txt": b"a"})
                    extent = writer.add(sample)
                    row |= {"tar_offset": extent.offset, "tar_bytes": extent.length}
                placed.append(row)
            writer.close()
        table = pa.Table.from_pylist(placed, schema=ROW_SCHEMA)
        pq.write_table(table, path.with_suffix(".parquet"))
        digest = hashlib.sha256(path.read_bytes() + repr(rows).encode()).hexdigest()
        samples = sum("content" in row for row in rows)
        info = ShardInfo(name=name, candidates=len(rows), samples=samples, bytes=0, sha256=digest)
        manifest.add(info)
    manifest.write()
    return str(folder)


def write_embeddings(
    dataset: str, name: str, shard: str, image_ND: np.ndarray, uids: Sequence[str], **more: str
) -> None:
    path = Path(dataset) / "embeddings" / name / f"{shard}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.array(value) for key, value in more.items()}
    np.savez(path, allow_pickle=False, image=image_ND, uid=np.array(uids, dtype="U32"), **arrays)


def column(dataset: str, kind: str, name: str, wanted: str) -> list[Any]:
    """A score column over all shards."""
    files = sorted((Path(dataset) / "scores" / kind / name).glob("*.parquet"))
    return [value for file in files for value in read_parquet(str(file))[wanted].to_pylist()]
