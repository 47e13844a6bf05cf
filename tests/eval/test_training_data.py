import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_eval.training_data import read_training_data
from diagonal_infra.errors import UserError

TrainedOn = Callable[[str | None], str]


def test_kept_samples_are_those_of_the_runs_own_filter(
    tiny_world: Any, trained_on: TrainedOn
) -> None:
    filtered, whole = (read_training_data(trained_on(name)) for name in ("demo", None))
    assert filtered is not None
    assert whole is not None
    assert len(whole.kept) == tiny_world.num_samples
    assert len(filtered.kept) == filtered.funnel["kept"] < len(whole.kept)
    url = filtered.kept["url"][0].as_py()
    assert filtered.count_at({url, "http://127.0.0.1/other"}) >= 1
    assert filtered.count_at([]) == 0


def test_a_taken_down_sample_is_not_shown(tiny_world: Any, trained_on: TrainedOn) -> None:
    run = trained_on("demo")
    before = read_training_data(run)
    assert before is not None
    gone = before.samples([3])[0].uid
    pq.write_table(pa.table({"uid": [gone]}), Path(tiny_world.dataset) / "tombstones.parquet")
    after = read_training_data(run)
    assert after is not None
    assert set(before.kept["uid"].to_pylist()) - set(after.kept["uid"].to_pylist()) == {gone}


@pytest.mark.parametrize(
    "places", [{"data": "nowhere"}, {"data": "nosuchstore://d"}, {"filter": "other"}, {"data": ""}]
)
def test_data_that_cannot_be_read_is_unknown(
    trained_on: TrainedOn, places: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(trained_on("demo"))
    record = json.loads((run / "config.json").read_text())
    record["config"] |= places
    (run / "config.json").write_text(json.dumps(record))
    assert read_training_data(str(run)) is None
    assert "leaks unknown" in caplog.text


def test_no_run_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run at"):
        read_training_data(str(tmp_path))
