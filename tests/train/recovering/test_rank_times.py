import json
from collections.abc import Callable
from pathlib import Path

from diagonal_train.distributed import World
from diagonal_train.recovering.rank_times import RankTimes

RANK_SLOW = Path(__file__).parent / "rank_slow.py"


def test_the_slowest_rank_is_the_one_that_others_wait_for(
    tmp_path: Path, run_ranks: Callable[..., None]
) -> None:
    out = tmp_path / "table.json"
    run_ranks([str(RANK_SLOW), str(out)], 2)
    table = json.loads(out.read_text())
    assert table["slowest_rank"] == 1
    # Rank 0 was as long in the step, but in a barrier.
    assert table["median_rank_seconds"] < 0.2 < table["slowest_rank_seconds"]


def test_one_rank_has_none_to_compare_with() -> None:
    assert RankTimes(World()).table(1) == {}
