"""Small evaluation sets of coloured squares."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diagonal_eval.dataset import content_digest
from diagonal_eval.evalset import EvalSet


def set_of(pictures: Sequence[bytes], **facts: Any) -> EvalSet:
    """A set of encoded pictures; facts are the fields of `EvalSet`."""

    def read(rows: Sequence[int]) -> Iterator[bytes]:
        for row in rows:
            yield pictures[row]

    told = {name: str(value) for name, value in facts.items()}
    fields: dict[str, Any] = {
        "name": "squares",
        "split": "test",
        "kind": "classification",
        "keys": tuple(f"p{row:03d}" for row in range(len(pictures))),
        "digest": content_digest(*pictures, *told.values()),
        "read": read,
        "templates": ("{}", "a {}"),
    }
    if "labels_N" in facts:
        facts["labels_N"] = np.asarray(facts["labels_N"], np.int64)
    return EvalSet(**(fields | facts))
