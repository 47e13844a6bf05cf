"""What a source found, and the checks that make an EvalSet of it.

    FoundSet → every n-th class, picture and label checked → drawn samples → words → digest

A number is never wrong in silence: what contradicts itself is refused, what is only odd (classes
without pictures, fewer pictures than were published) is counted in a warning.

Shape suffixes: N pictures, C classes.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from diagonal_eval.dataset import content_digest
from diagonal_eval.evalset import EvalSet, Kind
from diagonal_eval.sets import wording
from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_infra.errors import UserError

Read = Callable[[Sequence[int]], Iterator[bytes]]
NAMED_IN_WARNINGS = 5
DEFAULT_METRICS = {
    "classification": "acc1",
    "multilabel": "map",
    "retrieval": "image_retrieval_recall@1",
    "selection": "text_acc",
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoundSet:
    """Pictures and truth of one split, in the order of the source; rows of it number `read`'s."""

    place: str
    """For messages: `/data/mini/test`."""
    kind: Kind
    keys: tuple[str, ...]
    picture_digests: tuple[str, ...]
    """Of each picture's bytes."""
    read: Read
    labels: tuple[int, ...] = ()
    multilabels: tuple[tuple[bool, ...], ...] = ()
    captions: tuple[tuple[str, ...], ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    """The set's own, in label order."""
    templates: tuple[str, ...] = ()


def picture_digest(content: bytes) -> str:
    """Of one picture's bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def evalset_of(
    found: FoundSet, *, name: str, split: str, info: TaskInfo | None, config: SetsConfig
) -> EvalSet:
    """The checked set.

    Raises:
        UserError: it is empty or contradicts itself.
    """
    if not found.keys:
        raise UserError(f"no picture in {found.place!r}; check that the set is whole")
    if info is not None and found.kind != info.kind:
        raise UserError(
            f"{found.place!r} is laid out for {found.kind}, but {info.name} is for {info.kind}; "
            "check dataset_type.txt, or name it wds:DIR"
        )
    repeated = [key for key, count in Counter(found.keys).items() if count > 1]
    if repeated:
        raise UserError(f"{found.place!r}: {len(repeated)} keys stand twice, first {repeated[0]!r}")
    has_classes = found.kind in ("classification", "multilabel")
    class_names = _class_names(found, info, config) if has_classes else ()
    if has_classes:
        _check_labels(found, class_names)
    drawn = _drawn(found, config)
    if has_classes:
        _warn_of_odd_classes(name, drawn, class_names)
    if config.max_samples is None and info is not None:
        _warn_of_odd_size(info, split, len(drawn.keys))
    return EvalSet(
        name=name,
        split=split,
        kind=drawn.kind,
        keys=drawn.keys,
        digest=_digest(drawn),
        read=drawn.read,
        class_names=class_names,
        templates=wording.templates_for(info, config, found.templates) if has_classes else (),
        prompts=wording.prompts_for(info, config, class_names) if has_classes else None,
        labels_N=np.array(drawn.labels, np.int64) if drawn.kind == "classification" else None,
        multilabels_NC=np.array(drawn.multilabels, bool) if drawn.kind == "multilabel" else None,
        captions=None if has_classes else drawn.captions,
        groups=drawn.groups,
        metric=info.metric if info is not None else DEFAULT_METRICS[drawn.kind],
    )


def _class_names(found: FoundSet, info: TaskInfo | None, config: SetsConfig) -> tuple[str, ...]:
    listed = wording.listed_class_names(info, config)
    names = listed or found.class_names
    names = names or wording.packaged_class_names(info, wording.PACKAGED_LANGUAGE)
    if not names:
        raise UserError(
            f"{found.place!r} has no class names; write classnames.txt, a name a line in the "
            "order of the labels, or set --sets.class-names"
        )
    if listed and found.class_names and len(listed) != len(found.class_names):
        raise UserError(
            f"{len(listed)} class names were given for {found.place!r}, "
            f"which has {len(found.class_names)} classes"
        )
    if len(names) == 1:
        raise UserError(
            f"{found.place!r} has one class, {names[0]!r}, so any model is right always; "
            "name at least one more with --sets.class-names"
        )
    if info is not None and info.classes is not None and len(names) != info.classes:
        raise UserError(
            f"{found.place!r} has {len(names)} classes, but {info.name} has {info.classes}; if it "
            f"is partial get the whole set, else name it as it is: wds:DIR or folder:DIR"
        )
    return names


def _check_labels(found: FoundSet, class_names: Sequence[str]) -> None:
    num_classes = len(class_names)
    for key, label in zip(found.keys, found.labels, strict=bool(found.labels)):
        if not 0 <= label < num_classes:
            raise UserError(
                f"{found.place!r}: label {label} of {key!r} is not in 0 to {num_classes - 1}, as "
                f"there are {num_classes} class names; check that names and labels belong together"
            )
    for key, truths in zip(found.keys, found.multilabels, strict=bool(found.multilabels)):
        if len(truths) != num_classes:
            raise UserError(
                f"{found.place!r}: {key!r} has {len(truths)} labels for {num_classes} class names"
            )


def _drawn(found: FoundSet, config: SetsConfig) -> FoundSet:
    """The first `max_samples` by a hash of seed and key, in the order of the source."""
    if config.max_samples is None or config.max_samples >= len(found.keys):
        return found
    order = sorted(
        range(len(found.keys)), key=lambda row: content_digest(str(config.seed), found.keys[row])
    )
    rows = sorted(order[: config.max_samples])

    def taken(values: Sequence) -> tuple:
        return tuple(values[row] for row in rows) if values else ()

    def read(chosen: Sequence[int]) -> Iterator[bytes]:
        return found.read([rows[row] for row in chosen])

    return replace(
        found,
        keys=taken(found.keys),
        picture_digests=taken(found.picture_digests),
        read=read,
        labels=taken(found.labels),
        multilabels=taken(found.multilabels),
        captions=taken(found.captions),
        groups={name: taken(values) for name, values in found.groups.items()},
    )


def _warn_of_odd_classes(name: str, found: FoundSet, class_names: Sequence[str]) -> None:
    if found.kind == "classification":
        seen = set(found.labels)
    else:
        seen = {c for truths in found.multilabels for c, true in enumerate(truths) if true}
    empty = [class_names[c] for c in range(len(class_names)) if c not in seen]
    if empty:
        logger.warning(
            "classes without pictures set=%s count=%d of=%d first=%s",
            *(name, len(empty), len(class_names), empty[:NAMED_IN_WARNINGS]),
        )
    if found.kind == "classification" and len(seen) == 1:
        logger.warning(
            "all pictures are of one class set=%s class=%s", name, class_names[min(seen)]
        )
    repeated = [text for text, count in Counter(class_names).items() if count > 1]
    if repeated:
        logger.warning(
            "class names that stand twice set=%s count=%d first=%s",
            *(name, len(repeated), repeated[:NAMED_IN_WARNINGS]),
        )


def _warn_of_odd_size(info: TaskInfo, split: str, found: int) -> None:
    published = info.test_size if split == "test" else info.train_size if split == "train" else None
    if published is not None and found != published:
        logger.warning(
            "not the published number of pictures set=%s split=%s found=%d published=%d",
            *(info.name, split, found, published),
        )


def _digest(found: FoundSet) -> str:
    """Of keys, pictures and truth; not of words, so that other words need no new features."""
    truths = [*map(str, found.labels), *("".join(map(str, map(int, t))) for t in found.multilabels)]
    captions = [content_digest(*texts) for texts in found.captions]
    groups = [content_digest(name, *values) for name, values in sorted(found.groups.items())]
    parts = (found.keys, found.picture_digests, truths, captions, groups)
    return content_digest(found.kind, *(content_digest(*part) for part in parts))
