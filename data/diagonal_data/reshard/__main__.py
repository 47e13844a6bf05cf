"""A dataset and a keep list to a dataset of their own, by byte copies.

    python -m diagonal_data.reshard --dataset out/d --filter basic --output out/e --seed 7
    python -m diagonal_data.reshard demo --local

Samples are copied as ranges of the tars, never decoded, and keep their keys, so the pixels and
texts are the same to the byte. Training does not need this (it streams through the keep list); it
is for handing a subset on, or for shuffling once and for all (--seed). A sample listed twice is
copied twice, the second under KEY_1. What was taken down is not copied. The same command again
finishes a killed run.
"""

from diagonal_data.reshard.building import reshard
from diagonal_data.reshard.config import DEFAULT, RESHARD, ReshardConfig
from diagonal_infra import log
from diagonal_infra.cli import run_command


def main(config: ReshardConfig) -> None:
    """Copy, then say how much."""
    manifest = reshard(config)
    samples = sum(info.samples for info in manifest.shards.values())
    log.STDOUT.print(f"{samples:,} samples in {len(manifest.shards)} shards at {config.output}")


if __name__ == "__main__":
    run_command(main, RESHARD, description=__doc__, default=DEFAULT)
