"""faiss indexes of unit rows by inner product: which kind, how built, how far they look.

    flat   every row is looked at: exact
    hnsw   a graph of neighbours, walked from hub to hub
    ivf    rows by nearest centroid; the lists of the nearest centroids are looked at

All hold the rows themselves as fp16, which is what the embeddings are, so the cosines they give
are exact; what hnsw and ivf may miss are rows. How far they look (`efSearch`, `nprobe`) is
measured when they are built: with captions of the dataset as questions to its pictures, and
pictures to its captions, the smallest setting that finds `RECALL` of what a search through all rows
finds. It is stored in the index.

Shape suffixes: N rows, Q questions, K best, D width.
"""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_infra.errors import UserError

FLAT_ROWS = 50_000
"""Up to here a search through all rows takes milliseconds."""
GRAPH_ROWS = 5_000_000
"""Up to here a graph is worth the time and memory that building it takes."""
NEIGHBOURS, BUILD_CANDIDATES = 32, 40
TRAIN_ROWS_PER_LIST = 40
RECALL, RECALL_AT = 0.994, 10
"""What is asked of the calibration: of other questions than its own, 0.99 is left."""
TIED = 1e-4
"""Cosines this close are the same hit: fp16 rows and sums in another order differ by less."""
SETTINGS = {"hnsw": "efSearch", "ivf": "nprobe"}
Floats = NDArray[np.float32]
logger = logging.getLogger(__name__)


def load_faiss() -> Any:
    """The module, imported when it is used: everything else works without the `search` extra.

    Raises:
        UserError: it is not installed.
    """
    # It logs every variant for other processors that is not there.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        raise UserError(
            f"search needs faiss, which is not installed ({error}); run 'make setup' or install it "
            "with 'pip install \"diagonal[search]\"'"
        ) from error


def kind_for(kind: str, rows: int) -> str:
    """What `auto` means for so many rows."""
    if kind != "auto":
        return kind
    if rows <= FLAT_ROWS:
        return "flat"
    return "hnsw" if rows <= GRAPH_ROWS else "ivf"


def lists_for(rows: int) -> int:
    """Centroids of an ivf index: as many as keep finding them as cheap as reading their lists."""
    return max(1, min(int(4 * rows**0.5), rows // TRAIN_ROWS_PER_LIST))


def empty_index(kind: str, width: int, rows: int) -> Any:
    """An index of that kind without rows; ivf still has to be trained."""
    faiss = load_faiss()
    description = {
        "flat": "IDMap,SQfp16",
        "hnsw": f"IDMap,HNSW{NEIGHBOURS}_SQfp16",
        "ivf": f"IVF{lists_for(rows)},SQfp16",
    }[kind]
    index = faiss.index_factory(width, description, faiss.METRIC_INNER_PRODUCT)
    inner = faiss.downcast_index(index.index) if kind != "ivf" else index
    if kind == "hnsw":
        inner.hnsw.efConstruction = BUILD_CANDIDATES
    if kind == "ivf":
        # The difference to the centroid would be rounded, and the cosines with it.
        inner.by_residual = False
    if kind != "ivf":
        # fp16 has nothing to learn, but faiss wants to be asked.
        index.train(np.zeros((1, width), np.float32))
    return index


def look(index: Any, kind: str, far: int) -> None:
    """Set how many candidates (hnsw) or lists (ivf) are looked at."""
    load_faiss().ParameterSpace().set_index_parameter(index, SETTINGS[kind], far)


def furthest(kind: str, rows: int) -> int:
    """The setting that looks at everything, or as good as that."""
    return lists_for(rows) if kind == "ivf" else max(rows, 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """For a single question: faiss has nothing to share out, and waking threads takes longer."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def calibrate(index: Any, kind: str, questions_QD: Floats, own_Q: NDArray[np.int64]) -> float:
    """Set how far the index looks; returns the share found of what a full search finds.

    Args:
        index: with all rows.
        kind: of the index; flat has no setting.
        questions_QD: unit rows.
        own_Q: the id of the row that each belongs to, which does not count: nobody else's question
            has one, and rows unlike all others, which a graph hardly leads to, are the best answer
            only to their own.
    """
    if kind == "flat" or not len(questions_QD) or not index.ntotal:
        return 1.0
    best_QK = _of_others(*search_whole(index, kind, questions_QD, RECALL_AT + 1), own_Q)
    least_Q1 = best_QK[:, -1:] - TIED
    found, far, most = 0.0, 1, furthest(kind, index.ntotal)
    while True:
        look(index, kind, far)
        cosine_QK, id_QK = index.search(questions_QD, RECALL_AT + 1)
        near_QK = _of_others(cosine_QK, id_QK, own_Q)
        found = float((near_QK >= least_Q1).mean())
        if found >= RECALL or far >= most:
            break
        far = min(far + (far + 3) // 4, most)
    logger.info("index calibrated kind=%s %s=%d recall=%.4f", kind, SETTINGS[kind], far, found)
    return found


def _of_others(cosine_QK: Floats, id_QK: NDArray[np.int64], own_Q: NDArray[np.int64]) -> Floats:
    """The ten best cosines of each question, without that of its own row."""
    others_QK = np.where(id_QK == own_Q[:, None], -np.inf, cosine_QK)
    return -np.sort(-others_QK, axis=1)[:, :RECALL_AT]


def search_whole(
    index: Any, kind: str, questions_QD: Floats, most: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Cosines and ids of the best of all rows, as the index's own `search` gives them."""
    cosine_QK, id_QK = whole(index, kind).search(questions_QD, most)
    if kind == "hnsw":
        # What holds the graph's rows numbers them as they were added.
        id_QK = load_faiss().vector_to_array(index.id_map)[id_QK]
    return cosine_QK, id_QK


def whole(index: Any, kind: str) -> Any:
    """What searches all rows of an index; of an ivf index itself, set to look at all lists."""
    faiss = load_faiss()
    if kind == "hnsw":
        return faiss.downcast_index(faiss.downcast_index(index.index).storage)
    if kind == "ivf":
        look(index, kind, furthest(kind, index.ntotal))
    return index
