"""Candidates to a dataset folder: fetch, decode, resize, write tar shards.

    python -m diagonal_data.shards web --candidates out/c --dataset out/d

Ray workers build a few shards at a time; `--local` does the same in this process. Finished shards
are skipped, so the same command finishes a killed run, and a grown candidates folder adds shards.
`--retry transient` asks again, into new shards, for what failed for a passing reason. `--part 3/8`
builds every eighth shard, beside commands on other machines that build the others.
"""

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
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
from diagonal_data.parts import Part, parse_part, require_no_parts, sole_builder, turn
from diagonal_data.recipes import SHARDS
from diagonal_data.run_ledger import RunLedger
from diagonal_data.units import Unit, check_candidates, planned_units, units_of_plan, write_units
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
"""How often the manifest is rewritten and the pace told; a kill in between costs nothing (see
manifest.py)."""


def main(config: ShardsConfig) -> None:
    """Build every shard that is not finished, then print the funnel of the whole dataset."""
    arrow.forgo_pandas()
    funnel = build_dataset(config)
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: candidates by outcome"))


def build_dataset(config: ShardsConfig) -> Funnel:
    """Finish the dataset, or a part of it; returns the counts over all its shards.

    Raises:
        UserError: candidates or dataset folder cannot be used, or nobody can be reached.
        UnitError: some shards failed after all attempts; the others are finished.
    """
    candidates = check_candidates(config.candidates)
    require_contact(config, candidates)
    load_block_lists(config.block)  # so that a wrong path shows before any work
    storage.check_writable(config.dataset)
    if config.part is None:
        return _build_whole(config, candidates)
    return _build_part(config, parse_part(config.part), candidates)


def _build_whole(config: ShardsConfig, candidates: Sequence[str]) -> Funnel:
    retry = config.retry == "transient"
    with storage.sole_writer(config.dataset), shard_metrics() as metrics:
        require_no_parts(config.dataset)
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
        for some in filter(None, ([unit for unit in units if not unit.retry_pass], again)):
            written = time.monotonic()
            try:
                with closing(_built(some, manifest, config, metrics)) as built:
                    for unit in built:
                        storage.delete(unit.path)
                        if time.monotonic() - written > MANIFEST_SECONDS:
                            manifest.write()
                            written = time.monotonic()
            finally:
                # Also when units failed or the user broke off: what is finished is finished.
                manifest.write()
        return manifest.funnel()


def _build_part(config: ShardsConfig, part: Part, candidates: Sequence[str]) -> Funnel:
    """Others plan and build beside it; what the manifest records is the build of the whole."""
    dataset, whole = config.dataset, (settings_of(config), replace(config, part=None))
    config = replace(config, fetch=config.fetch.shared_by(part.count))
    with sole_builder(dataset, part), shard_metrics() as metrics:
        with turn(dataset, part):
            manifest = open_manifest(dataset, *whole)
            units = units_of_plan(manifest, candidates, config.samples_per_shard)
        units = [unit for unit in units if part.takes(unit.shard)]
        storage.delete_partials(shards_folder(dataset), [unit.shard for unit in units])
        metrics.begin(len(units))
        counts = len(manifest.shards), len(units)
        logger.info("part=%s shards finished=%d to_build=%d", part, *counts)
        try:
            with closing(_built(units, manifest, config, metrics)) as built:
                for _ in built:
                    pass
        finally:
            with turn(dataset, part):
                manifest = open_manifest(dataset, *whole)
                left = planned_units(manifest)
            logger.info("part=%s shards=%d unfinished=%d", part, len(manifest.shards), len(left))
        return manifest.funnel()


def _built(
    units: list[Unit], manifest: Manifest, config: ShardsConfig, metrics: ShardMetrics
) -> Generator[Unit]:
    """The units as they are finished, and noted in the manifest; writing it is the caller's."""
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
    pace, said = Pace(started=time.monotonic()), time.monotonic()
    funnel = manifest.funnel()
    with (
        demo_web(config.serve),
        log.progress(lambda: funnel.as_table("so far")) as progress,
    ):
        task = progress.add_task("shards", total=len(units))
        try:
            for unit, info in finished:
                manifest.add(info)
                metrics.add(info)
                pace.add(info)
                funnel = funnel.merge(info.funnel)
                now = time.monotonic()
                progress.update(task, advance=1, description=f"shards {pace.at(now)}")
                if now - said > MANIFEST_SECONDS:
                    logger.info("shards finished=%d %s", len(manifest.shards), pace.at(now))
                    said = now
                yield unit
        except UnitError:
            metrics.add_failed(len(units) - pace.shards)
            raise


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
