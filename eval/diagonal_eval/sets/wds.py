"""CLIP_benchmark's webdatasets, local or at any fsspec address; DataComp's are laid out alike.

    DIR/dataset_type.txt                          retrieval, multilabel or classification (default)
    DIR/classnames.txt                            a name a line, in label order
    DIR/zeroshot_classification_templates.txt     with {c} for the name
    DIR/SPLIT/nshards.txt, 0.tar, 1.tar …         KEY.webp|png|jpg|jpeg and
        KEY.cls   label     KEY.npy   labels of a multilabel set, else DataComp's columns
        KEY.txt   captions, one a line            KEY.json   attributes: groups of pictures

In DataComp's FairFace and UTKFace one list holds the names of several questions (`gender:male`).
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fsspec.core import url_to_fs

from diagonal_eval.evalset import Kind
from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.found import FoundSet
from diagonal_eval.sets.groups import groups_of
from diagonal_eval.sets.tars import IndexedTar, TarSample, index_tar, read_pictures
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_eval.sets.wording import text_lines
from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_infra.object_store import storage_errors

KINDS: tuple[Kind, ...] = ("classification", "multilabel", "retrieval", "selection")
Places = Sequence[tuple[int, TarSample]]
logger = logging.getLogger(__name__)


def read_if_there(path: str) -> bytes | None:
    """A small file; None only if its store says that there is none, whatever else goes wrong.

    Raises:
        StorageError: the store fails.
    """
    filesystem, inner = url_to_fs(path)
    with storage_errors(f"read {path}"):
        try:
            return filesystem.cat_file(inner)
        except (FileNotFoundError, NotADirectoryError):
            return None


def is_wds(folder: str, split: str) -> bool:
    """Whether that split of a set in this layout lies there."""
    return read_if_there(storage.join(folder, split, "nshards.txt")) is not None


def find_wds(folder: str, split: str, info: TaskInfo | None, config: SetsConfig) -> FoundSet:
    """The pictures and labels of a split, in the order of its shards.

    Raises:
        AbsentSetError: there is none.
        UserError: it is partial or contradicts itself.
    """
    place = storage.join(folder, split)
    tars = [
        index_tar(storage.join(place, f"{number}.tar"), config.cache)
        for number in range(_num_shards(place))
    ]
    places = [(number, s) for number, tar in enumerate(tars) for s in tar.samples if s.offset >= 0]
    _warn_of_pictureless(place, tars, len(places))
    samples = [sample for _, sample in places]
    found = FoundSet(
        place=place,
        kind=_kind(folder, info),
        keys=tuple(sample.key for sample in samples),
        picture_digests=tuple(sample.digest for sample in samples),
        read=lambda rows: _read(tars, places, rows),
        class_names=_text(folder, "classnames.txt"),
        templates=_text(folder, "zeroshot_classification_templates.txt"),
    )
    values = _names_of_values(found.class_names)
    question = info.label_column if info and info.label_column in values else None
    if question is not None:
        found = _asking(found, question, values)
    found = replace(found, groups=groups_of(place, samples, info, found.kind, values))
    return _with_truth(found, samples, info, question)


def _read(tars: Sequence[IndexedTar], places: Places, rows: Sequence[int]) -> Iterator[bytes]:
    return read_pictures(tars, places, rows)


def _num_shards(place: str) -> int:
    path = storage.join(place, "nshards.txt")
    content = read_if_there(path)
    if content is None:
        raise AbsentSetError(
            f"no set in CLIP_benchmark's layout at {place!r}: nshards.txt is missing; check the "
            "address and the split"
        )
    text = content.decode(errors="replace").strip()
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{path!r} holds {text!r}, not a number of shards")
    return int(text)


def _kind(folder: str, info: TaskInfo | None) -> Kind:
    content = read_if_there(storage.join(folder, "dataset_type.txt"))
    word = "classification" if content is None else content.decode(errors="replace").strip().lower()
    for kind in KINDS:
        if word == kind:
            selects = kind == "retrieval" and info is not None and info.kind == "selection"
            return "selection" if selects else kind
    raise UserError(f"dataset_type.txt in {folder!r} says {word!r}, not one of {', '.join(KINDS)}")


def _text(folder: str, name: str) -> tuple[str, ...]:
    path = storage.join(folder, name)
    return text_lines(read_if_there(path) or b"", path)


def _warn_of_pictureless(place: str, tars: Sequence[IndexedTar], pictures: int) -> None:
    without = sum(len(tar.samples) for tar in tars) - pictures
    if without:
        logger.warning("samples without a picture are left out set=%s count=%d", place, without)


def _names_of_values(class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`gender:male`, `gender:female`, `age:0-2` → the values of each; empty for a plain list."""
    if not class_names or not all(":" in name for name in class_names):
        return {}
    questions: dict[str, list[str]] = {}
    for name in class_names:
        question, _, value = name.partition(":")
        questions.setdefault(question, []).append(value)
    return {question: tuple(values) for question, values in questions.items()}


def _asking(found: FoundSet, question: str, values: dict[str, tuple[str, ...]]) -> FoundSet:
    """One question's names and templates of a set that has several."""
    marked = [template.partition(":") for template in found.templates]
    own = tuple(template for mark, _, template in marked if mark == question)
    return replace(found, class_names=values[question], templates=own)


def _with_truth(
    found: FoundSet, samples: Sequence[TarSample], info: TaskInfo | None, question: str | None
) -> FoundSet:
    place = found.place
    if found.kind == "classification":
        if info is not None and question is not None:
            column = [attribute.name for attribute in info.columns].index(question)
            labels = [_column(sample, column, place) for sample in samples]
        else:
            labels = [_label(sample, place) for sample in samples]
        return replace(found, labels=tuple(labels))
    if found.kind == "multilabel":
        return replace(found, multilabels=tuple(_labels(sample, place) for sample in samples))
    return replace(found, captions=tuple(_captions(sample, place) for sample in samples))


def _label(sample: TarSample, place: str) -> int:
    if sample.cls is None:
        raise UserError(f"{place!r}: {sample.key!r} has no label, a member {sample.key}.cls")
    text = sample.cls.strip()
    if not text.removeprefix("-").isdecimal():
        raise UserError(f"{place!r}: the label of {sample.key!r} is {text!r}, not an integer")
    return int(text)


def _column(sample: TarSample, column: int, place: str) -> int:
    if sample.npy is None or len(sample.npy) <= column or not sample.npy[column].is_integer():
        raise UserError(f"{place!r}: {sample.key!r} has no integer {column} in {sample.key}.npy")
    return int(sample.npy[column])


def _labels(sample: TarSample, place: str) -> tuple[bool, ...]:
    if sample.npy is None:
        raise UserError(f"{place!r}: {sample.key!r} has no labels, a member {sample.key}.npy")
    if not set(sample.npy) <= {0.0, 1.0}:
        odd = sorted(set(sample.npy) - {0.0, 1.0})[0]
        raise UserError(f"{place!r}: a label of {sample.key!r} is {odd}, neither 0 nor 1")
    return tuple(value == 1 for value in sample.npy)


def _captions(sample: TarSample, place: str) -> tuple[str, ...]:
    # As clip_benchmark splits them, but an empty line is no caption.
    lines = tuple(line for line in (sample.txt or "").splitlines() if line.strip())
    if not lines:
        raise UserError(f"{place!r}: {sample.key!r} has no caption, a member {sample.key}.txt")
    return lines
