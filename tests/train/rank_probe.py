"""One of several ranks that probes a fresh model; the first prints what it found as JSON.

rank_probe.py DATA FILTER RUN
"""

import dataclasses
import json
import sys

import torch

from diagonal_train.config.probe import ProbeConfig
from diagonal_train.distributed import from_environment, in_process_group
from diagonal_train.loop import set_up
from diagonal_train.probe import open_probe
from diagonal_train.recipes import TRAIN


def main(data: str, keep_list: str, run: str) -> None:
    """Probe once."""
    torch.set_num_threads(1)
    world = from_environment()
    probe_config = ProbeConfig(every_steps=1, data=data, filter=keep_list, samples=90)
    config = dataclasses.replace(
        TRAIN["tiny"](), data=data, filter="most", run=run, probe=probe_config
    )

    def ask() -> dict[str, float] | None:
        probe = open_probe(set_up(config, world))
        assert probe is not None
        return probe.run(lambda: False)

    found = in_process_group(world, ask)
    if world.is_main:
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
