"""One entry of the registry: what is known of an evaluation set without having it."""

from dataclasses import dataclass, field
from typing import Literal

Metric = Literal[
    "acc1",
    "mean_per_class_recall",
    "map",
    "map11",
    "roc_auc",
    "macro_f1",
    "worst_group_acc1",
    "image_retrieval_recall@1",
    "text_acc",
]
TaskKind = Literal["classification", "multilabel", "retrieval", "selection"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A column of DataComp's KEY.npy, and the names of its numbers if they are known."""

    name: str
    values: tuple[str, ...] = ()
    """An empty one makes no group of its pictures."""


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """An evaluation set as it was published."""

    name: str
    kind: TaskKind = "classification"
    collections: tuple[str, ...]
    metric: Metric = "acc1"
    """The headline number of a paper's table."""
    classes: int | None = None
    """None where there are none: retrieval and selection."""
    test_size: int
    """Pictures of the test split as clip_benchmark or DataComp has it."""
    train_size: int | None = None
    """Pictures to train a probe on; None where nothing may be trained."""
    source: str
    """Who made it, and when."""
    obtain: str
    """One sentence on how to get it."""
    built_by: str | None = None
    """The name in clip_benchmark's builder, if it builds the set from plain files."""
    built_from: tuple[str, ...] = ()
    """Files under ROOT/NAME without which that builder would download them."""
    class_names_key: str | None = None
    """In clip_benchmark's class names; None where the set brings its own."""
    templates_key: str | None = None
    """In clip_benchmark's templates; None stands for those of imagenet1k."""
    in_folder_order: bool = False
    """Whether the packaged class names are in the order of the set's folder names."""
    groups: tuple[str, ...] = ()
    """Attributes that errors are compared over; the worst group is of the first."""
    columns: tuple[Attribute, ...] = ()
    """What the numbers of KEY.npy mean in DataComp's layout."""
    label_column: str | None = None
    """The column that is the label where KEY.cls is not."""
    note: str = ""
    """What a reader of the number must know."""
    aliases: tuple[str, ...] = field(default=(), repr=False)
    """Other names it goes by."""
