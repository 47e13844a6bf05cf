"""Ten evaluation sets in CLIP_benchmark's webdataset layout, for the comparison with it.

    SETS/NAME/test/{nshards.txt, 0.tar}, classnames.txt, zeroshot_classification_templates.txt

Class names and templates are those that the clip_benchmark package has for the sets of that name;
pictures are stream_corpus.py's with labels in turn, so accuracies are near chance, which tells two
programs apart as well as any other.
"""

import io
import json
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from stream_corpus import caption, ensure_pictures

CLASSIFIED = (
    *("caltech101", "country211", "eurosat", "fer2013", "flowers"),
    *("gtsrb", "mnist", "pets"),
)
MULTILABEL, RETRIEVAL = "voc2007_multilabel", "flickr8k"
NAMES = (*CLASSIFIED, MULTILABEL, RETRIEVAL)
VOC_CLASSES = 20
CAPTIONS = 5


def ensure_eval_sets(work: Path, samples: int) -> Path:
    """The folder with the ten sets of so many pictures each; made if it is not there."""
    folder = work / f"eval-sets-{samples}"
    done = folder / "done"
    if not done.is_file():
        pictures = [path.read_bytes() for path in _pictures(work, samples)]
        for place, name in enumerate(NAMES):
            # Each set has the pictures in another order.
            _write_set(folder / name, name, pictures[place * 7 :] + pictures[: place * 7])
        done.touch()
    return folder


def _pictures(work: Path, samples: int) -> list[Path]:
    return ensure_pictures(work / "pictures" / "256px", 256, samples)


def _write_set(folder: Path, name: str, pictures: list[bytes]) -> None:
    (folder / "test").mkdir(parents=True, exist_ok=True)
    if name == RETRIEVAL:
        (folder / "dataset_type.txt").write_text("retrieval\n")
        truths = [("txt", _captions(number)) for number in range(len(pictures))]
    else:
        classes = _class_names(name)
        (folder / "classnames.txt").write_text("\n".join(classes) + "\n")
        templates = _packaged("en_zeroshot_classification_templates.json")[name]
        path = folder / "zeroshot_classification_templates.txt"
        path.write_text("\n".join(templates) + "\n")
        if name == MULTILABEL:
            (folder / "dataset_type.txt").write_text("multilabel\n")
            truths = [("npy", _several(number)) for number in range(len(pictures))]
        else:
            labels = [str(number % len(classes)) for number in range(len(pictures))]
            truths = [("cls", label.encode()) for label in labels]
    (folder / "test" / "nshards.txt").write_text("1\n")
    _write_tar(folder / "test" / "0.tar", pictures, truths)


def _write_tar(path: Path, pictures: list[bytes], truths: list[tuple[str, bytes]]) -> None:
    # The standard library's writer: what evaluation reads is other people's tars.
    with tarfile.open(path, "w") as tar:
        for number, (picture, (suffix, truth)) in enumerate(zip(pictures, truths, strict=True)):
            for ending, content in (("jpg", picture), (suffix, truth)):
                member = tarfile.TarInfo(f"s{number:07d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _captions(number: int) -> bytes:
    """Five, all different: the peer holds a caption that stands twice for two."""
    return "\n".join(
        f"{caption(number * CAPTIONS + i)} no {number * CAPTIONS + i}" for i in range(CAPTIONS)
    ).encode()


def _several(number: int) -> bytes:
    labels = np.zeros(VOC_CLASSES, np.int64)
    labels[[number % VOC_CLASSES, number // 3 % VOC_CLASSES]] = 1
    buffer = io.BytesIO()
    np.save(buffer, labels)
    return buffer.getvalue()


def _class_names(name: str) -> list[str]:
    names = _packaged("en_classnames.json")
    return names["imagenet1k"][:VOC_CLASSES] if name == MULTILABEL else names[name]


def _packaged(file: str) -> Any:
    return json.loads((files("clip_benchmark") / "datasets" / file).read_text(encoding="utf-8"))
