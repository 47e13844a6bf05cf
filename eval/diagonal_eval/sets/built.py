"""clip_benchmark's builder over files that are there: torchvision's layouts, Karpathy's lists.

The builder fetches what it misses with wget whatever it is told, so it is only asked where the
folder and the files that it would fetch are there. Where the built set names its files their own
bytes are taken, and their labels without decoding them; else its pictures as PNG, which is exact.
"""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.digests import file_digests
from diagonal_eval.sets.folders import read_files
from diagonal_eval.sets.found import FoundSet, picture_digest
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_infra.errors import UserError

PATHS = ("_image_files", "_images")
"""Where torchvision's sets keep their files, labels in `_labels` beside them."""
CAPTIONED = ("retrieval", "selection")
PAIRS = ("samples", "_samples")
"""Or (file, label) together."""
WITHOUT_SPLITS = ("sun397", "caltech101", "eurosat")
"""Sets of which the builder gives all pictures whatever the split."""
TRAIN_SPLITS = {"pets": "trainval", "fgvc_aircraft": "trainval"}
"""Splits that the builder calls otherwise."""


def find_built(folder: str, split: str, info: TaskInfo, config: SetsConfig) -> FoundSet:
    """The set that clip_benchmark builds from a local folder.

    Raises:
        AbsentSetError: it builds no such set, or data are missing.
    """
    assert info.built_by is not None, info.name
    root = Path(folder)
    if split != "test" and (info.kind in CAPTIONED or info.name in WITHOUT_SPLITS):
        raise AbsentSetError(f"clip_benchmark's builder has no split {split!r} of {info.name}")
    missing = [name for name in info.built_from if not (root / name).exists()]
    if not root.is_dir() or not any(root.iterdir()) or missing:
        lacks = f" without {missing[0]}" if missing and root.is_dir() else ""
        raise AbsentSetError(f"no files for clip_benchmark's builder in {folder!r}{lacks}")
    dataset = _build(folder, split, info)
    if hasattr(dataset, "_image_files"):
        _sort_files(dataset)
    bare = FoundSet(
        place=folder,
        kind=info.kind,
        keys=(),
        picture_digests=(),
        read=lambda rows: iter(()),
        class_names=tuple(map(str, getattr(dataset, "classes", None) or ())),
    )
    files = _files(dataset, root)
    with_pictures = _from_files(bare, files, root, config) if files else _from_items(bare, dataset)
    return _with_truth(with_pictures, dataset)


def _build(folder: str, split: str, info: TaskInfo) -> Any:
    # Loads torchvision and clip_benchmark's models, and few sets need it.
    from clip_benchmark.datasets.builder import build_dataset  # noqa: PLC0415

    has_classes = info.kind in ("classification", "multilabel")
    try:
        with warnings.catch_warnings():
            # It warns of what the registry's notes say: sets without splits of their own.
            warnings.simplefilter("ignore")
            return build_dataset(
                info.built_by,
                root=folder,
                transform=_png,
                split=TRAIN_SPLITS.get(info.name, split) if split == "train" else split,
                download=False,
                task="zeroshot_classification" if has_classes else "zeroshot_retrieval",
            )
    except (OSError, RuntimeError, AssertionError, ValueError, ImportError, KeyError) as error:
        # Each of torchvision's sets says in its own way that files are missing.
        raise AbsentSetError(
            f"clip_benchmark cannot build {info.built_by!r} ({split}) from {folder!r}: {error}"
        ) from error


def _sort_files(dataset: Any) -> None:
    """Put files and labels in order: SUN397's are in that of the file system."""
    order = sorted(range(len(dataset)), key=lambda row: str(dataset._image_files[row]))
    dataset._image_files = [dataset._image_files[row] for row in order]
    dataset._labels = [dataset._labels[row] for row in order]


def _files(dataset: Any, root: Path) -> list[Path]:
    """The files of the pictures in order; empty if the set does not keep them as files."""
    for name in PAIRS:
        if hasattr(dataset, name):
            return [Path(path) for path, _ in getattr(dataset, name)]
    for name in PATHS:
        if hasattr(dataset, name) and hasattr(dataset, "_labels"):
            return [Path(path) for path in getattr(dataset, name)]
    kind = type(dataset).__name__
    if kind == "Flickr":
        return [root / name for name, _ in dataset.data]
    if kind == "SugarCrepe":
        return [Path(dataset.root) / row["filename"] for row in _sugar_crepe_rows(dataset)]
    if kind == "PASCALVoc2007":
        return [Path(dataset.path_images) / f"{name}.jpg" for name in dataset.paths]
    if kind == "Caltech101":
        folder = Path(dataset.root) / "101_ObjectCategories"
        return [
            folder / dataset.categories[label] / f"image_{number:04d}.jpg"
            for label, number in zip(dataset.y, dataset.index, strict=True)
        ]
    return []


def _from_files(bare: FoundSet, files: Sequence[Path], root: Path, config: SetsConfig) -> FoundSet:
    gone = [path for path in files if not path.is_file()]
    if gone:
        raise UserError(
            f"{len(gone)} pictures are missing, first {str(gone[0])!r}; get the set anew"
        )
    names = [Path(os.path.relpath(path, root)).as_posix() for path in files]
    repeated = len(set(names)) < len(names)
    keys = [f"{name}#{i}" if repeated else name for i, name in enumerate(names)]
    return replace(
        bare,
        keys=tuple(keys),
        picture_digests=file_digests(files, config.cache),
        read=lambda rows: read_files(files, rows),
    )


def _from_items(bare: FoundSet, dataset: Any) -> FoundSet:
    def read(rows: Sequence[int]) -> Iterator[bytes]:
        return (cast(bytes, dataset[row][0]) for row in rows)

    rows = range(len(dataset))
    return replace(
        bare,
        keys=tuple(f"{row:07d}" for row in rows),
        picture_digests=tuple(picture_digest(content) for content in read(rows)),
        read=read,
    )


def _with_truth(found: FoundSet, dataset: Any) -> FoundSet:
    truths = _truths(dataset, len(found.keys))
    if found.kind == "classification":
        return replace(found, labels=tuple(int(truth) for truth in truths))
    if found.kind == "multilabel":
        rows = [tuple(bool(value > 0) for value in np.asarray(truth)) for truth in truths]
        return replace(found, multilabels=tuple(rows))
    return replace(found, captions=tuple(tuple(truth) for truth in truths))


def _truths(dataset: Any, n: int) -> list[Any]:
    """Labels or captions of all pictures, without decoding them where the set keeps them apart."""
    if hasattr(dataset, "label_map"):
        # ObjectNet's labels are not those that ImageFolder gave it.
        return [dataset.label_map[Path(path).parent.name] for path, _ in dataset.samples]
    for name in PAIRS:
        if hasattr(dataset, name):
            return _targets(dataset, [label for _, label in getattr(dataset, name)])
    for name in ("_labels", "targets", "labels", "y"):
        values = getattr(dataset, name, None)
        if values is not None and len(values) == n:
            return _targets(dataset, list(values))
    kind = type(dataset).__name__
    if kind == "Flickr":
        return [captions for _, captions in dataset.data]
    if kind == "SugarCrepe":
        return [(row["caption"], row["negative_caption"]) for row in _sugar_crepe_rows(dataset)]
    return [dataset[row][1] for row in range(n)]


def _targets(dataset: Any, labels: Sequence[Any]) -> list[Any]:
    change = getattr(dataset, "target_transform", None)
    return [change(label) for label in labels] if change else list(labels)


def _sugar_crepe_rows(dataset: Any) -> list[dict[str, str]]:
    return [dataset.ann[index] for index in dataset.idx_strings]


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()
