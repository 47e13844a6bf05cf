"""Candidates to a dataset folder: fetch, decode, resize, write tar shards.

    python -m diagonal_data.shards web --candidates out/c --dataset out/d

One Ray task per shard, bounded in flight; `--local` does the same in this process. Finished shards
are skipped, so the same command finishes a killed run, and a grown candidates folder adds shards.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from functools import partial

from diagonal_data.build_shard import build_shard
from diagonal_data.config import ShardsConfig
from diagonal_data.demo.server import serving
from diagonal_data.demo.site import ensure_site
from diagonal_data.funnel import Funnel
from diagonal_data.manifest import Manifest, open_manifest, settings_of, shards_folder
from diagonal_data.recipes import SHARDS
from diagonal_data.units import Unit, open_candidates, write_units
from diagonal_infra import log, ray_cluster, storage
from diagonal_infra.cli import run_command

logger = logging.getLogger(__name__)

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
    candidates = open_candidates(config.candidates)
    storage.check_writable(config.dataset)
    manifest = open_manifest(config.dataset, settings_of(config), config)
    storage.delete_partials(shards_folder(config.dataset))
    units = write_units(manifest, candidates, config.samples_per_shard)
    logger.info("shards finished=%d to_build=%d", len(manifest.shards), len(units))
    if units:
        with demo_web(config.serve):
            _build(units, manifest, config)
    manifest.write()
    return manifest.funnel()


@contextlib.contextmanager
def demo_web(folder: str | None) -> Iterator[None]:
    """The demo's web on loopback for the block, built first if missing; nothing for None."""
    if folder is None:
        yield
        return
    ensure_site(folder)
    with serving(folder):
        yield


def _build(units: list[Unit], manifest: Manifest, config: ShardsConfig) -> None:
    finished = ray_cluster.map_unordered(
        partial(build_shard, config=config),
        units,
        workers=config.workers,
        local=config.local,
        deadline_seconds=config.unit_deadline_seconds,
    )
    written = time.monotonic()
    with log.progress() as progress:
        task = progress.add_task("shards", total=len(units))
        for _, info in finished:
            manifest.add(info)
            funnel = manifest.funnel()
            progress.update(task, advance=1, description=_summary(funnel))
            if time.monotonic() - written > MANIFEST_SECONDS:
                manifest.write()
                written = time.monotonic()


def _summary(funnel: Funnel) -> str:
    worst = max(funnel.reasons.items(), key=lambda item: item[1], default=None)
    lost = "" if worst is None else f", most lost to {worst[0]} ({worst[1]:,})"
    return f"shards: {funnel.kept:,} of {funnel.input:,} kept{lost}"


if __name__ == "__main__":
    run_command(main, SHARDS, description=__doc__)
