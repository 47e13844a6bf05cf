"""One door to a dataset and what is kept of it in memory, dropped when the dataset changes.

View        of one snapshot: row index, a few columns, conditions and comparisons asked lately
Explorer    the current view, and the model if there is one
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from diagonal_data.filters.columns import Catalogue
from diagonal_data.filters.keep_list import filter_folder
from diagonal_data.filters.match import Condition, Deadline
from diagonal_eval.explore.cards import Rows, find_row
from diagonal_eval.explore.diff import Diff, compare
from diagonal_eval.explore.embeddings import Floats, Nearest, Sidecar, open_sidecar, search
from diagonal_eval.explore.row_index import RowIndex, build_index
from diagonal_eval.explore.selection import Selection
from diagonal_eval.explore.snapshot import NotThereError, Snapshot, read_snapshot, stamp_of
from diagonal_eval.explore.values import Values, numeric_columns, read_values
from diagonal_infra import storage
from diagonal_infra.errors import UserError

Result = TypeVar("Result")
CACHED_VALUES, CACHED_SELECTIONS, CACHED_DIFFS = 3, 8, 3
NO_MODEL = "this needs a model; start the explorer with --model RUN"


class Model(Protocol):
    """What is asked of `playground.Playground`, which brings torch, and only with --model."""

    scale: float

    @property
    def name(self) -> str: ...
    def embed_query(self, text: str) -> Floats: ...
    def rank(self, image: bytes, labels: list[str], template: str, scale: float) -> list[Any]: ...
    def similarities(self, images: list[bytes], captions: list[str]) -> NDArray[np.float32]: ...
    def made(self, sidecar: Sidecar, shard: str, sha256: str) -> bool: ...


class Recent:
    """The last few results of slow work; who asks for one that is being made waits for it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result under that key, made if need be."""
        with self._lock:
            if key not in self._kept:
                # Room first: two of them at once may be more than there is memory for.
                while len(self._kept) >= self._most:
                    self._kept.popitem(last=False)
                self._kept[key] = make()
            self._kept.move_to_end(key)
            return self._kept[key]


class View:
    """A dataset as it is under one manifest and one set of tombstones."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.dataset = snapshot.dataset
        self.rows = Rows(snapshot)
        self._indexes, self._values = Recent(1), Recent(CACHED_VALUES)
        self._selections, self._diffs = Recent(CACHED_SELECTIONS), Recent(CACHED_DIFFS)

    @property
    def index(self) -> RowIndex:
        """Of all rows; the first to ask waits until it is read."""
        return self._indexes.get("index", lambda: build_index(self.snapshot))

    def numeric_columns(self) -> dict[str, str]:
        """Name and type."""
        return numeric_columns(Catalogue(self.dataset), self.snapshot)

    def values(self, name: str) -> Values:
        """A numeric column."""
        catalogue = Catalogue(self.dataset)
        scores = catalogue.find(name).scores
        ends = (self.snapshot.names[0], self.snapshot.names[-1])
        paths = [scores.path(shard) for shard in ends] if scores else []
        made = tuple(storage.modified(path) for path in paths if storage.exists(path))
        index = self.index
        return self._values.get(
            (name, made), lambda: read_values(catalogue, self.snapshot, index, name)
        )

    def selection(self, where: str, sort: str, *, descending: bool) -> Selection:
        """The samples that meet a condition."""
        return self._selections.get(
            (where, sort, descending),
            lambda: Selection(
                condition=Condition(self.dataset, where, sort), descending=descending
            ),
        )

    def diff(self, a: str, b: str) -> Diff:
        """Two filters against each other."""
        paths = [storage.join(filter_folder(self.dataset, name), "keep.npy") for name in (a, b)]
        made = tuple(storage.modified(path) for path in paths if storage.exists(path))
        return self._diffs.get((a, b, made), lambda: compare(self.dataset, self.index, a, b))

    def row(self, uid: str, at: int | None) -> dict[str, Any]:
        """The row of a uid, with `shard` and `at`; the index is read only where `at` is no help."""
        try:
            return find_row(self.rows, None, uid, at)
        except NotThereError:
            return find_row(self.rows, self.index, uid, None)


class Explorer:
    """What the pages ask."""

    def __init__(
        self, dataset: str, *, model: Model | None = None, embeddings: str = "", seconds: float = 20
    ) -> None:
        """Open the dataset.

        Raises:
            UserError: there is none, or it has no finished shard.
        """
        self.dataset, self.embeddings, self.seconds = dataset, embeddings, seconds
        self._model = model
        self._lock = threading.Lock()
        self._view = View(read_snapshot(dataset))

    @property
    def view(self) -> View:
        """Of the dataset as it is now."""
        with self._lock:
            if stamp_of(self.dataset) != self._view.snapshot.stamp:
                self._view = View(read_snapshot(self.dataset))
            return self._view

    @property
    def model_name(self) -> str:
        """Empty without a model."""
        return "" if self._model is None else self._model.name

    @property
    def model(self) -> Model:
        """The model.

        Raises:
            UserError: there is none.
        """
        if self._model is None:
            raise UserError(NO_MODEL)
        return self._model

    def deadline(self) -> Deadline:
        """Of a search that begins now."""
        return Deadline(self.seconds)

    def nearest_to_text(self, view: View, text: str, most: int) -> Nearest:
        """Pictures by falling cosine with a text.

        Raises:
            UserError: no model, or no embeddings of it.
        """
        query_D, name = self.model.embed_query(text), self.embeddings_name(view)
        return self._search(view, self._of_model(view, name), query_D, most)

    def nearest_to_sample(self, view: View, row: dict[str, Any], most: int) -> Nearest:
        """Pictures by falling cosine with a sample's own picture.

        Raises:
            UserError: the sample has no embedding.
        """
        name, shard = self.embeddings_name(view), row["shard"]
        own = np.flatnonzero(view.index.targets[shard] == row["at"])
        image_ND = open_sidecar(self.dataset, name, shard).image_ND
        if not len(own) or own[0] >= len(image_ND) or not image_ND[own[0]].any():
            raise UserError(f"sample {row['uid']} has no embedding in {name}")
        query_D = image_ND[own[0]].astype(np.float32)
        return self._search(
            view, lambda each: open_sidecar(self.dataset, name, each), query_D, most
        )

    def embeddings_name(self, view: View) -> str:
        """The folder to search.

        Raises:
            UserError: there is none, or none of the model.
        """
        folder = storage.join(self.dataset, "embeddings")
        known = storage.list_folders(folder)
        if self.embeddings and self.embeddings not in known:
            raise UserError(f"no embeddings {self.embeddings!r}; there are {known or 'none'}")
        remedy = f"python -m diagonal_eval.scores clip --dataset {self.dataset} --model RUN"
        if not known:
            raise UserError(f"no embeddings in {self.dataset!r}; make them with '{remedy}'")
        named = [self.embeddings] if self.embeddings else known
        if self._model is None:
            return named[0]
        own = [name for name in named if self._is_of_model(view, name)]
        if not own:
            raise UserError(
                f"embeddings {', '.join(named)} are of another model than --model "
                f"({self.model_name}); give that one, or make them with '{remedy}'"
            )
        return own[0]

    def _is_of_model(self, view: View, name: str) -> bool:
        """Whether any shard's embeddings are; most often the first says so."""
        read = self._of_model(view, name)
        for shard in view.snapshot.names:
            with suppress(UserError):
                read(shard)
                return True
        return False

    def _of_model(self, view: View, name: str) -> Callable[[str], Sidecar]:
        """Reads a shard's embeddings if the model made them."""
        shards = {shard["name"]: shard for shard in view.snapshot.shards}

        def read(shard: str) -> Sidecar:
            sidecar, known = open_sidecar(self.dataset, name, shard), shards[shard]
            if not self.model.made(sidecar, shard, known.get("built_sha256") or known["sha256"]):
                raise UserError(
                    f"embeddings {name} of shard {shard} are of another model or another tar"
                )
            return sidecar

        return read

    def _search(
        self, view: View, read: Callable[[str], Sidecar], query_D: Floats, most: int
    ) -> Nearest:
        names, index, deadline = view.snapshot.names, view.index, self.deadline()
        found = search(names, read, index, query_D, most, deadline)
        if not found.shards_done and found.problems:
            raise UserError(f"nothing can be searched: {found.problems[0]}")
        return found
