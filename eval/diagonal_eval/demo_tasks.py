"""Ground truth of the demo, joined to the dataset, and the questions asked of a model.

    labels.parquet    url, style, hexcode, label, group, held_out_style, held_out_concept, …
    drawing           (style, hexcode): evaluated once, by its first row, whatever copies exist

A task shows the drawings of one style and offers class names:

    concepts   drawings of                 classes
    seen       concepts trained on         every seen label
    unseen     concepts held out           every unseen label

Only a training style's seen concepts were trained on; that task is a sanity reference.

Shape suffixes: N drawings of a task.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from diagonal_eval.dataset import Dataset, StoredSample, content_digest, iterate_images
from diagonal_eval.evalset import EvalSet
from diagonal_infra import storage
from diagonal_infra.errors import UserError

Concepts = Literal["seen", "unseen"]
LABEL_COLUMNS = [
    "url", "style", "hexcode", "label", "group", "held_out_style", "held_out_concept",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Label:
    """What the picture at a URL shows."""

    url: str
    style: str
    hexcode: str
    label: str
    group: str
    held_out_style: bool
    held_out_concept: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A labelled picture of the dataset."""

    sample: StoredSample
    truth: Label


@dataclass(frozen=True, kw_only=True)
class Task:
    """Drawings of one style and the class names offered for them."""

    style: str
    concepts: Concepts
    held_out_style: bool
    trained: bool
    """Whether training saw these very drawings."""
    drawings_N: NDArray[np.int64]
    """Indexes into the list of drawings."""
    truth_N: NDArray[np.int64]
    """Indexes into `class_names`."""
    class_names: tuple[str, ...]


def read_labels(path: str) -> list[Label]:
    """The ground truth table.

    Raises:
        UserError: there is no such table, or it lacks a column.
    """
    if not storage.exists(path):
        raise UserError(f"no labels at {path!r}; 'make demo' writes them, or set --labels")
    table = pq.read_table(io.BytesIO(storage.read_bytes(path)))
    missing = [column for column in LABEL_COLUMNS if column not in table.column_names]
    if missing:
        raise UserError(f"{path!r} lacks the columns {', '.join(missing)}; run 'make demo' again")
    return [Label(**row) for row in table.select(LABEL_COLUMNS).to_pylist()]


def match_drawings(labels: Sequence[Label], samples: Sequence[StoredSample]) -> list[Drawing]:
    """The dataset's labelled pictures, each (style, hexcode) once, in the order of the dataset.

    Raises:
        UserError: no picture of a held-out style is among them.
    """
    label_of = {label.url: label for label in labels}
    drawings: dict[tuple[str, str], Drawing] = {}
    for sample in samples:
        label = label_of.get(sample.url)
        if label is not None:
            drawing = Drawing(sample=sample, truth=label)
            drawings.setdefault((label.style, label.hexcode), drawing)
    if not any(drawing.truth.held_out_style for drawing in drawings.values()):
        raise UserError(
            f"none of {len(samples)} samples is labelled as a held-out style; "
            "check that --data and --labels come from the same 'make demo'"
        )
    return list(drawings.values())


def class_names_for(labels: Sequence[Label], concepts: Concepts) -> tuple[str, ...]:
    """Every label of the seen or the unseen concepts, sorted, whether it was fetched or not."""
    unseen = concepts == "unseen"
    return tuple(sorted({label.label for label in labels if label.held_out_concept == unseen}))


def plan_tasks(labels: Sequence[Label], drawings: Sequence[Drawing]) -> list[Task]:
    """Seen and unseen concepts of every style, held-out styles first; empty tasks are left out."""
    styles = sorted(
        {(not drawing.truth.held_out_style, drawing.truth.style) for drawing in drawings}
    )
    choices: tuple[Concepts, Concepts] = ("seen", "unseen")
    classes = {concepts: class_names_for(labels, concepts) for concepts in choices}
    tasks = []
    for in_training, style in styles:
        for concepts in choices:
            chosen = [
                index
                for index, drawing in enumerate(drawings)
                if drawing.truth.style == style
                and drawing.truth.held_out_concept == (concepts == "unseen")
            ]
            class_of = {name: index for index, name in enumerate(classes[concepts])}
            if chosen:
                truth = [class_of[drawings[index].truth.label] for index in chosen]
                tasks.append(
                    Task(
                        style=style,
                        concepts=concepts,
                        held_out_style=not in_training,
                        trained=in_training and concepts == "seen",
                        drawings_N=np.array(chosen, dtype=np.int64),
                        truth_N=np.array(truth, dtype=np.int64),
                        class_names=classes[concepts],
                    )
                )
    return tasks


def as_evalset(
    task: Task, drawings: Sequence[Drawing], dataset: Dataset, templates: Sequence[str]
) -> EvalSet:
    """The task as one of any kind: `demo/openmoji unseen`."""
    samples = [drawings[index].sample for index in task.drawings_N]

    def read(rows: Sequence[int]) -> Iterator[bytes]:
        return iterate_images(dataset, [samples[row] for row in rows])

    uids = [sample.uid for sample in samples]
    names = task.class_names
    return EvalSet(
        name=f"demo/{task.style} {task.concepts}",
        split="test",
        kind="classification",
        keys=tuple(uids),
        digest=content_digest(dataset.digest, *uids, *(names[label] for label in task.truth_N)),
        read=read,
        class_names=names,
        templates=tuple(templates),
        labels_N=task.truth_N,
    )
