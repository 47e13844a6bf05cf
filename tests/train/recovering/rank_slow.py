"""Two ranks of which the second takes longer: rank 0 prints the table, to a file.

python rank_slow.py OUT
"""

import json
import sys
import threading
from pathlib import Path

from diagonal_train.distributed import barrier, from_environment, in_process_group
from diagonal_train.recovering.rank_times import RankTimes
from diagonal_train.recovering.watchdog import stage


def main(out: str) -> None:
    """One step of 0.01 s, or of 0.4 s on rank 1."""
    world = from_environment()

    def measure() -> dict[str, float]:
        times = RankTimes(world)
        with stage("step"):
            threading.Event().wait(0.4 if world.rank else 0.01)
            barrier()
        return times.table(1)

    table = in_process_group(world, measure)
    if world.is_main:
        Path(out).write_text(json.dumps(table))


if __name__ == "__main__":
    main(*sys.argv[1:])
