"""Candidates to a dataset folder: fetch, decode, resize, write tar shards.

    python -m diagonal_data.shards web --candidates out/c --dataset out/d

One Ray task per shard, bounded in flight; `--local` does the same in this process. Finished shards
are skipped, so the same command finishes a killed run, and a grown candidates folder adds shards.
"""

import logging
import time
from functools import partial

from diagonal_data.build_shard import build_shard
from diagonal_data.config import ShardsConfig
from diagonal_data.demo.server import demo_web
from diagonal_data.funnel import Funnel
from diagonal_data.host_ledger import HostLedger
from diagonal_data.manifest import Manifest, open_manifest, settings_of, shards_folder
from diagonal_data.recipes import SHARDS
from diagonal_data.units import Unit, check_candidates, write_units
from diagonal_infra import log, ray_cluster, storage
from diagonal_infra.cli import run_command

logger = logging.getLogger(__name__)

UNIT_GRACE_SECONDS = 300.0
"""Decoding, writing and waiting for a free worker, beyond the unit's own deadline."""
MANIFEST_SECONDS = 10.0
"""How often the manifest is rewritten; a kill in between costs nothing (see manifest.py)."""


def main(config: ShardsConfig) -> None:
    """Build every shard that is not finished, then print the funnel of the whole dataset."""
    funnel = build_dataset(config)
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: candidates by outcome"))


def build_dataset(config: ShardsConfig) -> Funnel:
    """Finish the dataset; returns the counts over all its shards.

    Raises:
        UserError: candidates or dataset folder cannot be used.
        UnitError: some shards failed after all attempts; the others are finished.
    """
    candidates = check_candidates(config.candidates)
    storage.check_writable(config.dataset)
    with storage.sole_writer(config.dataset):
        manifest = open_manifest(config.dataset, settings_of(config), config)
        storage.delete_partials(shards_folder(config.dataset))
        units = write_units(manifest, candidates, config.samples_per_shard)
        logger.info("shards finished=%d to_build=%d", len(manifest.shards), len(units))
        if units:
            with demo_web(config.serve):
                _build(units, manifest, config)
        return manifest.funnel()


def _build(units: list[Unit], manifest: Manifest, config: ShardsConfig) -> None:
    finished = ray_cluster.map_unordered(
        partial(build_shard, config=config),
        units,
        shared=partial(HostLedger, config.fetch),
        workers=config.workers,
        local=config.local,
        # The engine ends by itself; this is for workers that hang or are gone.
        deadline_seconds=config.unit_deadline_seconds + UNIT_GRACE_SECONDS,
    )
    written, funnel = time.monotonic(), manifest.funnel()
    with log.progress(lambda: funnel.as_table("so far")) as progress:
        task = progress.add_task("shards", total=len(units))
        try:
            for unit, info in finished:
                manifest.add(info)
                storage.delete(unit.path)
                funnel = funnel.merge(info.funnel)
                progress.advance(task)
                if time.monotonic() - written > MANIFEST_SECONDS:
                    manifest.write()
                    logger.info("shards finished=%d kept=%d", len(manifest.shards), funnel.kept)
                    written = time.monotonic()
        finally:
            # Also when units failed or the user broke off: what is finished is finished.
            manifest.write()


if __name__ == "__main__":
    run_command(main, SHARDS, description=__doc__)
