"""Candidates to a dataset folder: fetch, decode, resize, write tar shards.

    python -m diagonal_data.shards web --candidates out/c --dataset out/d

Ray workers build a few shards at a time; `--local` does the same in this process. Finished shards
are skipped, so the same command finishes a killed run, and a grown candidates folder adds shards.
`--retry transient` asks again, into new shards, for what failed for a passing reason.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial

from diagonal_data import arrow
from diagonal_data.block_lists import load_block_lists
from diagonal_data.build_shard import build_shard
from diagonal_data.config import ShardsConfig
from diagonal_data.contact import require_contact
from diagonal_data.demo.server import demo_web
from diagonal_data.funnel import Funnel
from diagonal_data.manifest import (
    Manifest,
    ShardInfo,
    open_manifest,
    settings_of,
    shards_folder,
)
from diagonal_data.metrics import ShardMetrics, shard_metrics
from diagonal_data.recipes import SHARDS
from diagonal_data.run_ledger import RunLedger
from diagonal_data.units import Unit, check_candidates, write_units
from diagonal_infra import log, ray_cluster, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import UnitError

logger = logging.getLogger(__name__)

UNIT_GRACE_SECONDS = 300.0
"""Decoding, writing and waiting for a free worker, beyond the unit's own deadline."""
MOST_UNITS_AT_ONCE, LEAST_UNITS_AT_ONCE = 4, 2
CANDIDATES_AT_ONCE = 20_000
"""In the units at work in one Ray worker: their rows are held in memory."""
MANIFEST_SECONDS = 10.0
"""How often the manifest is rewritten; a kill in between costs nothing (see manifest.py)."""


def main(config: ShardsConfig) -> None:
    """Build every shard that is not finished, then print the funnel of the whole dataset."""
    arrow.forgo_pandas()
    funnel = build_dataset(config)
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: candidates by outcome"))


def build_dataset(config: ShardsConfig) -> Funnel:
    """Finish the dataset; returns the counts over all its shards.

    Raises:
        UserError: candidates or dataset folder cannot be used, or nobody can be reached.
        UnitError: some shards failed after all attempts; the others are finished.
    """
    candidates = check_candidates(config.candidates)
    require_contact(config, candidates)
    load_block_lists(config.block)  # so that a wrong path shows before any work
    storage.check_writable(config.dataset)
    retry = config.retry == "transient"
    with storage.sole_writer(config.dataset), shard_metrics(config) as metrics:
        manifest = open_manifest(config.dataset, settings_of(config), config)
        storage.delete_partials(shards_folder(config.dataset))
        units = write_units(manifest, candidates, config.samples_per_shard, retry=retry)
        again = [unit for unit in units if unit.retry_pass]
        counts = len(manifest.shards), len(units), len(again)
        metrics.begin(len(units))
        logger.info("shards finished=%d to_build=%d of_retry=%d", *counts)
        if retry and not again:
            logger.info("nothing to retry dataset=%s", config.dataset)
        # Retries last: as long as they are not done, their list is open, and a run that is killed
        # before then goes on with it instead of beginning another.
        for part in ([unit for unit in units if not unit.retry_pass], again):
            if part:
                with demo_web(config.serve):
                    _build(part, manifest, config, metrics)
        return manifest.funnel()


def _build(
    units: list[Unit], manifest: Manifest, config: ShardsConfig, metrics: ShardMetrics
) -> None:
    finished = ray_cluster.map_unordered(
        partial(build_shard, config=config),
        units,
        shared=partial(RunLedger, config.fetch, manifest.opt_outs()),
        workers=config.workers,
        local=config.local,
        # The engine ends by itself; this is for workers that hang or are gone.
        deadline_seconds=config.unit_deadline_seconds + UNIT_GRACE_SECONDS,
        units_at_once=units_at_once(config),
    )
    pace, written = Pace(started=time.monotonic()), time.monotonic()
    funnel = manifest.funnel()
    with log.progress(lambda: funnel.as_table("so far")) as progress:
        task = progress.add_task("shards", total=len(units))
        try:
            for unit, info in finished:
                manifest.add(info)
                storage.delete(unit.path)
                metrics.add(info)
                pace.add(info)
                funnel = funnel.merge(info.funnel)
                now = time.monotonic()
                progress.update(task, advance=1, description=f"shards {pace.at(now)}")
                if now - written > MANIFEST_SECONDS:
                    manifest.write()
                    logger.info("shards finished=%d %s", len(manifest.shards), pace.at(now))
                    written = now
        except UnitError:
            metrics.add_failed(len(units) - pace.shards)
            raise
        finally:
            # Also when units failed or the user broke off: what is finished is finished.
            manifest.write()


def units_at_once(config: ShardsConfig) -> int:
    """In one Ray worker: while the last URLs of some time out, the next is fetched.

    500 pictures are decoded in less time than one URL takes to time out, so small units are more.
    """
    if config.engine == "img2dataset":  # its opener belongs to the process
        return 1
    fitting = CANDIDATES_AT_ONCE // config.samples_per_shard
    return max(LEAST_UNITS_AT_ONCE, min(MOST_UNITS_AT_ONCE, fitting))


@dataclass(kw_only=True)
class Pace:
    """What a run has done since it started."""

    started: float
    shards: int = 0
    candidates: int = 0
    samples: int = 0
    bytes: int = 0

    def add(self, info: ShardInfo) -> None:
        """Count a finished shard."""
        self.shards += 1
        self.candidates += info.candidates
        self.samples += info.samples
        self.bytes += info.bytes

    def at(self, now: float) -> str:
        """`img/s=310.2 kept=81.5% MB/s=9.4`: samples and bytes written since the start."""
        seconds = max(now - self.started, 1e-9)
        share = self.samples / max(self.candidates, 1)
        return (
            f"img/s={self.samples / seconds:.1f} kept={share:.1%} "
            f"MB/s={self.bytes / seconds / 1e6:.1f}"
        )


if __name__ == "__main__":
    run_command(main, SHARDS, description=__doc__)
