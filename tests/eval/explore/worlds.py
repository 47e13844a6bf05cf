"""A small dataset with everything that the explorer shows, and a model that sees colours.

00000000   a red, green, blue … square each, some twice; a hostile caption; two failures
00000001   more of them
00000002   a retry: one of the failures of the first shard is a sample now
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.eval.conftest import COLOURS, jpeg

from diagonal_data.filters.keep_list import write_keep_list
from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.score_sets import ScoreSet
from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.dataset import content_digest
from diagonal_eval.embed import Encoder, embed_images, embed_texts
from diagonal_eval.zeroshot import normalise

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"q\" 'a' {{ 7 * 7 }}"
HOSTILE_URL = "javascript:alert(3)"
NAMES = list(COLOURS)


@dataclass(frozen=True, kw_only=True)
class World:
    """Where it is, and every row by its shard, in order."""

    root: Path
    rows: dict[str, list[dict[str, Any]]]

    @property
    def dataset(self) -> str:
        return str(self.root)

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [row for rows in self.rows.values() for row in rows if row["status"] == "success"]

    @property
    def hostile(self) -> dict[str, Any]:
        return next(row for row in self.samples if row["caption"] == HOSTILE)


def build_world(root: Path, encoder: Encoder) -> World:
    first = [_stored(name, f"a {name}", n) for n, name in enumerate(NAMES)]
    first += [_stored(name, f"copy of a {name}", n) for n, name in enumerate(NAMES[:2])]
    first.append(_stored(NAMES[0], HOSTILE, 98, url=HOSTILE_URL))
    first[3:3] = [_failed("gone <b>0</b>", 0), _failed("gone <b>1</b>", 1)]
    second = [
        _stored(name, f"{size} {name}", n + 20)
        for size in ("big", "small")
        for n, name in enumerate(NAMES)
    ]
    again = _stored("blue square", "gone <b>1</b>", 1, url="http://127.0.0.1/gone/1.png")
    shards = {"00000000": first, "00000001": second, "00000002": [again]}
    world = World(root=root, rows=shards)
    manifest = Manifest(dataset=str(root), settings={})
    for number, (name, rows) in enumerate(shards.items()):
        manifest.add(_write_shard(world, name, rows, retry_pass=number // 2))
    manifest.write()
    write_scores(world, encoder)
    uids = [row["uid"] for row in world.samples]
    write_keep_list(str(root / "filters" / "first" / "keep.npy"), uids[:16])
    write_keep_list(str(root / "filters" / "second" / "keep.npy"), [*uids[10:20], "0" * 32])
    return world


def write_scores(world: World, encoder: Encoder) -> None:
    """Similarities, embeddings, and copies by colour."""
    firsts: dict[str, int] = {}
    seen = 0
    for shard in json.loads((world.root / "manifest.json").read_text())["shards"]:
        rows = [row for row in world.rows[shard["name"]] if row["status"] == "success"]
        uids = [row["uid"] for row in rows]
        image_ND = embed_images(encoder, [row["image"] for row in rows], 8)
        text_ND = embed_texts(encoder, [row["caption"] for row in rows], 8)
        similarity = (normalise(image_ND) * normalise(text_ND)).sum(axis=1)
        similarity[similarity < -0.9] = np.nan
        similarity[0] = np.nan
        source = content_digest(encoder.digest, shard["name"], shard["sha256"])
        path = world.root / "embeddings" / "demo" / f"{shard['name']}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, image=image_ND, text=text_ND, uid=np.array(uids), source=np.array(source))
        clip = ScoreSet(dataset=world.dataset, kind="clip", name="demo")
        columns = {"uid": uids, "similarity": similarity.astype(np.float32)}
        clip.write(shard["name"], pa.table(columns), source)
        clusters = []
        for row in rows:
            clusters.append(firsts.setdefault(row["colour"], seen))
            seen += 1
        copies = ScoreSet(dataset=world.dataset, kind="dedup", name="exact")
        copies.write(shard["name"], pa.table({"uid": uids, "exact_cluster": clusters}), source)


def _stored(colour: str, caption: str, number: int, url: str = "") -> dict[str, Any]:
    url = url or f"http://127.0.0.1/{number}/{colour.replace(' ', '-')}.png"
    row: dict[str, Any] = dict.fromkeys(ROW_SCHEMA.names)
    row |= {"uid": uid_for(url, caption), "url": url, "caption": caption, "status": "success"}
    return row | {
        "width": 20 + number,
        "height": 20,
        "image": jpeg(COLOURS[colour]),
        "colour": colour,
    }


def _failed(caption: str, number: int) -> dict[str, Any]:
    url = f"http://127.0.0.1/gone/{number}.png"
    row: dict[str, Any] = dict.fromkeys(ROW_SCHEMA.names)
    row |= {"uid": uid_for(url, caption), "url": url, "caption": caption}
    return row | {"status": "failed", "reason": "timed_out", "detail": "no <answer>"}


def _write_shard(world: World, name: str, rows: list[dict[str, Any]], retry_pass: int) -> ShardInfo:
    shards = world.root / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    tar = shards / f"{name}.tar"
    with tar.open("wb") as file:
        writer = TarWriter(file)
        for number, row in enumerate(rows):
            if "image" in row:
                key = f"{number:09d}"
                members = {"jpg": row["image"], "txt": row["caption"].encode(), "json": b"{}"}
                extent = writer.add(Sample(key=key, members=members))
                row |= {"key": key, "tar_offset": extent.offset, "tar_bytes": extent.length}
        writer.close()
    table = pa.Table.from_pylist(
        [{k: row[k] for k in ROW_SCHEMA.names} for row in rows], ROW_SCHEMA
    )
    pq.write_table(table, shards / f"{name}.parquet")
    stored = sum(row["status"] == "success" for row in rows)
    failed = {"timed_out": len(rows) - stored} if stored < len(rows) else {}
    return ShardInfo(
        name=name,
        candidates=len(rows),
        samples=stored,
        bytes=tar.stat().st_size,
        sha256=hashlib.sha256(tar.read_bytes()).hexdigest(),
        reasons=failed,
        retry_pass=retry_pass,
        retried={"timed_out": 1} if retry_pass else {},
    )
