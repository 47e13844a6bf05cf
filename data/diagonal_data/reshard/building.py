"""The whole of a reshard: plan, copy in parallel, manifest; a killed one goes on where it was."""

import logging
import time
from functools import partial

from diagonal_data.filters.inputs import warn_if_stale
from diagonal_data.manifest import (
    Manifest,
    open_manifest,
    read_manifest,
    shards_folder,
)
from diagonal_data.reshard.config import ReshardConfig
from diagonal_data.reshard.copying import copy_shard
from diagonal_data.reshard.plan import plan_copies, write_units
from diagonal_infra import log, ray_cluster, storage, tally
from diagonal_infra.errors import UnitError

DEADLINE_SECONDS = 3600.0
"""For one shard; a worker that takes longer hangs."""
MANIFEST_SECONDS = 10.0
OFFSETS_SHOWN = 3
logger = logging.getLogger(__name__)


def reshard(config: ReshardConfig) -> Manifest:
    """Write the smaller dataset; finished shards of an earlier, killed run are kept.

    Raises:
        UserError: no such dataset or filter, nothing to copy, or an output folder of another
            origin.
        UnitError: some shards were not written, for instance because their samples are damaged;
            the others are finished.
    """
    if config.filter is not None:
        warn_if_stale(config.dataset, config.filter)
    plan = plan_copies(config)
    settings = read_manifest(config.dataset).get("settings", {}) | {
        "resharded_from": config.dataset,
        "filter": config.filter,
        "keep_digest": plan.digest,
        "samples_per_shard": config.samples_per_shard,
        "seed": config.seed,
    }
    storage.check_writable(config.output)
    with storage.sole_writer(config.output):
        manifest = open_manifest(config.output, settings, config)
        storage.delete_partials(shards_folder(config.output))
        units = write_units(config, plan, list(manifest.shards))
        logger.info("shards finished=%d to_copy=%d", len(manifest.shards), len(units))
        damaged: dict[str, list[int]] = {}
        copied = ray_cluster.map_unordered(
            partial(copy_shard, config=config),
            units,
            workers=config.workers,
            # One shard is copied sooner than Ray is up.
            local=config.local or len(units) == 1,
            deadline_seconds=DEADLINE_SECONDS,
        )
        written = time.monotonic()
        try:
            with log.progress() as progress:
                for unit, result in progress.track(copied, len(units), description="reshard"):
                    for shard, offsets in result.damaged.items():
                        damaged.setdefault(shard, []).extend(offsets)
                        tally.now().add_items("samples", {"damaged": len(offsets)})
                    if result.info is not None:
                        manifest.add(result.info)
                        tally.now().add_items("samples", {"copied": result.info.samples})
                        storage.delete(unit.path)
                    if time.monotonic() - written > MANIFEST_SECONDS:
                        manifest.write()
                        written = time.monotonic()
        finally:
            manifest.write()
    _report(config, damaged)
    return manifest


def _report(config: ReshardConfig, damaged: dict[str, list[int]]) -> None:
    if not damaged:
        return
    places = "; ".join(
        f"{shard}.tar ({len(offsets)}, at bytes {', '.join(map(str, offsets[:OFFSETS_SHOWN]))}…)"
        for shard, offsets in sorted(damaged.items())
    )
    if config.skip_damaged:
        logger.warning("damaged samples are left out: %s", places)
        return
    raise UnitError(
        f"samples of {config.dataset!r} are damaged: {places}; the new shards without them are "
        "finished. Mend these tars and run again, or go on without the samples: --skip-damaged"
    )
