"""Datasets of drawn pictures, one list of samples per shard."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor, nn

from diagonal_data.manifest import Manifest, ShardInfo
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.embed import Encoder, build_encoder
from diagonal_eval.scores.config import ScoresConfig
from diagonal_eval.scores.run import score_set


class HalvesModel(nn.Module):
    """Sees how bright a picture's left and right halves are; every caption asks for the left."""

    def encode_image(self, images_BCHW: Tensor) -> Tensor:
        halves = images_BCHW.chunk(2, dim=3)
        return torch.stack([half.mean(dim=(1, 2, 3)) for half in halves], dim=1)

    def encode_pooled(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        halves_BD = self.encode_image(images_BCHW)
        return halves_BD, halves_BD

    def encode_text(self, tokens_BT: Tensor) -> Tensor:
        return torch.eye(2)[torch.zeros(len(tokens_BT), dtype=torch.int64)]


def halves_encoder() -> Encoder:
    """Brightness from 0 to 1."""
    return build_encoder(
        HalvesModel().eval(),
        name="halves",
        tokenizer=lambda texts: torch.zeros(len(texts), 1, dtype=torch.int64),
        image_size=32,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        step=0,
        device=torch.device("cpu"),
    )


BROKEN = b"\xff\xd8 no image"


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def plain(colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (96, 64)) -> bytes:
    return encoded(Image.new("RGB", size, colour))


def shapes(seed: int, blur: float = 0.0) -> Image.Image:
    """A drawing with edges; `blur` is a radius in pixels."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (160, 128), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = rng.integers(0, 120, 2).tolist()
        colour = tuple(rng.integers(0, 255, 3).tolist())
        draw.rectangle((left, top, left + 30, top + 20), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur else image


def lettered(lines: Sequence[str], size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Black print on a plain ground."""
    image = Image.new("RGB", size, (240, 230, 200))
    font = ImageFont.load_default(36)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((20, 20 + 60 * number), line, fill="black", font=font)
    return image


def write_dataset(folder: Path, shards: Sequence[Sequence[tuple[bytes, str]]]) -> str:
    """Shards of (picture, caption); written again with more shards, the first ones stay."""
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    manifest = Manifest(dataset=str(folder), settings={})
    for number, samples in enumerate(shards):
        manifest.add(_write_shard(folder / "shards", f"{number:08d}", samples))
    manifest.write()
    return str(folder)


def uid_of(shard: int, place: int, caption: str) -> str:
    return uid_for(f"http://a.example/{shard:08d}/{place}", caption)


def read_table(config: ScoresConfig, shard: int = 0) -> pa.Table:
    return pq.read_table(score_set(config).path(f"{shard:08d}"))


def _write_shard(folder: Path, name: str, samples: Sequence[tuple[bytes, str]]) -> ShardInfo:
    rows = []
    path = folder / f"{name}.tar"
    with path.open("wb") as file:
        writer = TarWriter(file)
        for place, (image, caption) in enumerate(samples):
            row: dict[str, Any] = {"uid": uid_of(int(name), place, caption), "caption": caption}
            row |= {"url": f"http://a.example/{name}/{place}", "key": f"{name}{place:04d}"}
            members = {"jpg": image, "txt": caption.encode(), "json": b"{}"}
            extent = writer.add(Sample(key=row["key"], members=members))
            row |= {"tar_offset": extent.offset, "tar_bytes": extent.length, "status": "success"}
            rows.append(row)
        writer.close()
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), folder / f"{name}.parquet")
    content = path.read_bytes()
    return ShardInfo(
        name=name,
        candidates=len(rows),
        samples=len(rows),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
