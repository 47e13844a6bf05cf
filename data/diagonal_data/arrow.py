"""pyarrow without pandas, in processes that have no use for it.

The first time a Python list becomes an array pyarrow imports pandas, where that is installed, to
know its types: 0.4 seconds of CPU and 45 MB in every worker.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("not now", name=fullname)


def forgo_pandas() -> None:
    """Let pyarrow, which looks only once, find no pandas; `to_pandas` imports it all the same."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        # What is imported already is not looked for.
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
