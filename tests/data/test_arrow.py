import subprocess
import sys

import pytest

SCRIPT = """
import sys
import pyarrow as pa
from diagonal_data import arrow
{first}
arrow.forgo_pandas()
pa.table({{"a": pa.array([1, None])}})
print("pandas" in sys.modules)
print(pa.table({{"a": [1, 2]}}).to_pandas()["a"].sum())
"""


@pytest.mark.parametrize(("first", "loaded"), [("", "False"), ("import pandas", "True")])
def test_pandas_is_loaded_by_those_who_ask_for_it(first: str, loaded: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(first=first)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == [loaded, "3"]
