"""Small evaluation sets, written the way clip_benchmark's exporter writes them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.sets.config import SetsConfig

COLOURS = ("red", "green", "blue")
TEMPLATES = ("a photo of a {c}.", "{c}")


def picture(number: int, format: str = "png") -> bytes:
    """A plain picture, another for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 5), (40 * number % 256, number % 256, 90)).save(buffer, format)
    return buffer.getvalue()


def npy(values: Sequence[float], dtype: Any = np.int64) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, dtype))
    return buffer.getvalue()


def labelled(n: int = 6, classes: int = 3) -> list[Sample]:
    """Pictures whose labels go round."""
    return [
        Sample(key=f"s{i:07d}", members={"png": picture(i), "cls": str(i % classes).encode()})
        for i in range(n)
    ]


def write_tar(path: Path, samples: Sequence[Sample]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = TarWriter(file)
        for sample in samples:
            writer.add(sample)
        writer.close()


def write_wds(
    folder: Path,
    shards: Sequence[Sequence[Sample]],
    *,
    class_names: Sequence[str] | None = COLOURS,
    templates: Sequence[str] | None = TEMPLATES,
    kind: str | None = None,
    split: str = "test",
) -> Path:
    """A set in CLIP_benchmark's layout."""
    for number, samples in enumerate(shards):
        write_tar(folder / split / f"{number}.tar", samples)
    (folder / split).mkdir(parents=True, exist_ok=True)
    (folder / split / "nshards.txt").write_text(f"{len(shards)}\n")
    texts = {
        "classnames.txt": class_names,
        "zeroshot_classification_templates.txt": templates,
        "dataset_type.txt": None if kind is None else [kind],
    }
    for name, lines in texts.items():
        if lines is not None:
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def write_folder(folder: Path, pictures: Mapping[str, int], first: int = 0) -> Path:
    """An image folder: so many pictures of each class."""
    number = first
    for name, count in pictures.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(picture(number))
            number += 1
    return folder


def with_json(sample: Sample, attributes: Mapping[str, Any]) -> Sample:
    members = sample.members | {"json": json.dumps(attributes).encode()}
    return Sample(key=sample.key, members=members)


def config_for(folder: Path, **settings: Any) -> SetsConfig:
    given: dict[str, Any] = {
        "root": str(folder / "sets"),
        "cache": str(folder / "cache"),
    } | settings
    return SetsConfig(**given)
