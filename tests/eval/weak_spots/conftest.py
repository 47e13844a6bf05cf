"""A demo in small: drawings of simple things in two held-out styles and one trained style."""

import hashlib
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.weak_spots.config import WeakSpotConfig

STYLES = ("noto", "fluent-emoji-flat", "openmoji")
DRAWN = ("anchor", "banana", "cat", "dog", "egg", "frog", "ghost", "key", "red apple")
COLOURED = ("openmoji", "cat")
"""Whose background is not white."""


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> WeakSpotConfig:
    """Where it lies; `owl` is an unseen concept, `warning` no simple thing."""
    root = tmp_path_factory.mktemp("demo")
    labels = [
        {
            "url": f"http://127.0.0.1/{style}/{number}.png",
            "style": style,
            "hexcode": str(number),
            "label": label,
            "group": "things",
            "held_out_style": style != "noto",
            "held_out_concept": label == "owl",
        }
        for style in STYLES
        for number, label in enumerate((*DRAWN, "owl", "warning"))
    ]
    pq.write_table(pa.Table.from_pylist(labels), root / "labels.parquet")
    _write_dataset(root / "dataset", labels)
    return WeakSpotConfig(
        data=str(root / "dataset"), labels=str(root / "labels.parquet"), num_pictures=36, side=96
    )


def _drawing(style: str, label: str) -> bytes:
    """A bar whose colour is the thing's and whose height is the style's."""
    image = Image.new("RGB", (48, 48), "#ffd54f" if (style, label) == COLOURED else "white")
    red, green, blue = hashlib.sha256(label.encode()).digest()[:3]
    box = (8, 8, 39, 8 + 10 * (STYLES.index(style) + 1))
    ImageDraw.Draw(image).rectangle(box, fill=(red % 160, green % 160, blue % 160))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _write_dataset(root: Path, labels: list[dict]) -> None:
    shards = root / "shards"
    shards.mkdir(parents=True)
    rows = []
    with (shards / "00000000.tar").open("wb") as file:
        writer = TarWriter(file)
        for number, label in enumerate(labels):
            url, key = label["url"], f"{number:09d}"
            image = _drawing(label["style"], label["label"])
            extent = writer.add(
                Sample(key=key, members={"png": image, "txt": b"a thing", "json": b"{}"})
            )
            row: dict = dict.fromkeys(ROW_SCHEMA.names)
            row |= {"uid": uid_for(url, "a thing"), "url": url, "caption": "a thing"}
            row |= {"status": "success", "key": key}
            rows.append(row | {"tar_offset": extent.offset, "tar_bytes": extent.length})
        writer.close()
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), shards / "00000000.parquet")
    content = (shards / "00000000.tar").read_bytes()
    shard = {"name": "00000000", "samples": len(rows), "candidates": len(rows)}
    shard |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / "manifest.json").write_text(json.dumps({"shards": [shard]}))
