"""One split of an evaluation set: pictures in a fixed order, and what is true of them.

    kind             truth                                   question
    classification   labels_N, maybe groups                  which of the classes?
    multilabel       multilabels_NC                          which of the classes are there?
    retrieval        captions, any number for each picture   which caption, which picture?
    selection        captions, of which the first is right   right caption before the wrong ones?

Shape suffixes: N pictures, C classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diagonal_infra.errors import UserError

Kind = Literal["classification", "multilabel", "retrieval", "selection"]


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """A set that a model can be asked about; made by `sets` and `weak_spots`.

    Raises:
        UserError: it contradicts itself, so that any number of it would be wrong.
    """

    name: str
    """As it was asked for: `cifar10`, `wds:/data/mini`."""
    split: str
    kind: Kind
    keys: tuple[str, ...]
    """One per picture, unique."""
    digest: str
    """Of pictures and truth; 32 hex digits."""
    read: Callable[[Sequence[int]], Iterator[bytes]]
    """The encoded pictures of these rows, in the order given; empty where one cannot be read."""
    class_names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    """With {} for the class name."""
    prompts: Mapping[str, tuple[str, ...]] | None = None
    """Of each class name, in place of templates (CuPL: Pratt et al., 2023, arXiv:2209.03320)."""
    labels_N: NDArray[np.int64] | None = None
    multilabels_NC: NDArray[np.bool_] | None = None
    captions: tuple[tuple[str, ...], ...] | None = None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attribute to its value for each picture: region, skin tone; empty where it is of no group."""
    metric: str = "acc1"
    """The headline."""

    def __post_init__(self) -> None:
        n = len(self.keys)
        self._require(n > 0, "holds no picture")
        self._require(len(set(self.keys)) == n, "holds two pictures of one key")
        for attribute, values in self.groups.items():
            self._require(len(values) == n, f"has {len(values)} values of {attribute!r} for {n}")
        if self.kind in ("classification", "multilabel"):
            self._check_classes(n)
        else:
            captions = self.captions
            assert captions is not None, self.kind
            self._require(len(captions) == n, f"has captions for {len(captions)} of {n} pictures")
            least = 1 if self.kind == "retrieval" else 2
            short = sum(len(texts) < least for texts in captions)
            self._require(short == 0, f"{short} pictures have fewer than {least} captions")

    def _check_classes(self, n: int) -> None:
        names = self.class_names
        self._require(len(names) > 0, "has no class names; give them with --sets.class-names")
        for template in self.templates:
            self._require("{}" in template, f"template {template!r} has no {{}} for the class name")
        if self.kind == "multilabel":
            truth_NC = self.multilabels_NC
            assert truth_NC is not None
            fits = truth_NC.shape == (n, len(names))
            self._require(fits, f"labels are {truth_NC.shape} for {n} pictures, {len(names)} names")
            return
        labels_N = self.labels_N
        assert labels_N is not None
        self._require(len(labels_N) == n, f"has {len(labels_N)} labels for {n} pictures")
        low, high = int(labels_N.min()), int(labels_N.max())
        self._require(
            low >= 0 and high < len(names),
            f"labels go from {low} to {high}, but there are {len(names)} class names",
        )

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise UserError(f"set {self.name!r} ({self.split}) {what}")
