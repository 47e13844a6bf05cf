"""Scoring what lacks scores: a unit is a shard, done one after the other here, or on Ray.

    missing shards ─ worker with a scorer ─ [second file,] score table ─ counts

A shard is done if its table, written last, names this source: the scorer's digest and the tar. A
table or second file that is half-written counts as missing. Files appear whole, so a kill costs the
shards in hand.
"""

import importlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch

from diagonal_data.score_sets import ScoreSet
from diagonal_eval.ahead import Ahead
from diagonal_eval.dataset import Dataset, StoredSample, iterate_images, open_dataset, read_samples
from diagonal_eval.scores.config import ScoresConfig
from diagonal_eval.scores.scorer import Scored, Scorer, Unit
from diagonal_infra import log, ray_cluster, storage, tally
from diagonal_infra.errors import UnitError
from diagonal_infra.shared import Shared

DEADLINE_SECONDS = 12 * 3600.0
"""For one shard; a worker that takes longer hangs. Reading text takes a second a picture."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the samples of one or many shards."""

    shards: int = 0
    samples: int = 0
    taken_down: int = 0
    undecoded: int = 0
    seconds: float = 0.0
    """Of all workers together."""
    waited_seconds: float = 0.0
    """In which the model had no data to work on."""

    def __add__(self, other: "Counts") -> "Counts":
        names = [field.name for field in fields(self)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def data_wait_share(self) -> float:
        """Share of the time that the model waits for data."""
        return self.waited_seconds / self.seconds if self.seconds else 0.0


def write_scores(config: ScoresConfig) -> Counts:
    """Score what is not scored yet, and log how much there was.

    Raises:
        UserError: no dataset or model, or a package that is not installed.
        UnitError: some shards failed; the others are done.
        CheckpointError: the model is broken.
    """
    dataset = open_dataset(config.dataset)
    found = score_set(config)
    storage.check_writable(found.folder)
    scorer = build_scorer(config)
    total = Counts()
    with storage.sole_writer(found.folder):
        storage.delete_partials(found.folder)
        units = missing_units(dataset, found, scorer)
        done = len(dataset.shards) - len(units)
        try:
            with log.progress() as bar:
                results = run_units(units, config, dataset, scorer)
                for _, counts in bar.track(results, len(units), description="scoring shards"):
                    total += counts
                    _tell(counts, scorer)
        finally:
            _report(found.label, total, done, scorer)
    return total


def score_set(config: ScoresConfig) -> ScoreSet:
    """Where the tables go."""
    return ScoreSet(dataset=config.dataset, kind=config.kind, name=config.name)


def build_scorer(config: ScoresConfig) -> Scorer:
    """The kind's scorer with its model loaded; only this kind's packages are imported."""
    module: Any = importlib.import_module(f"diagonal_eval.scores.{config.kind}")
    return cast(Scorer, module.build(config))


def missing_units(dataset: Dataset, found: ScoreSet, scorer: Scorer) -> list[Unit]:
    """The shards that are not scored by this scorer, in order."""
    units = [
        Unit(shard=shard, sha256=sha256)
        for shard, sha256 in zip(dataset.shards, dataset.sha256s, strict=True)
    ]
    return [unit for unit in units if not _is_done(unit, found, scorer)]


def _is_done(unit: Unit, found: ScoreSet, scorer: Scorer) -> bool:
    return found.is_current(unit.shard, unit.source(scorer.digest)) and (
        scorer.beside is None or scorer.beside.is_current(unit)
    )


def run_units(
    units: list[Unit], config: ScoresConfig, dataset: Dataset, scorer: Scorer
) -> Iterator[tuple[Unit, Counts]]:
    """Score the shards, here if there is but one or the configuration says so."""
    local = config.local or len(units) == 1
    gpus = float(torch.cuda.is_available()) if config.gpus is None else config.gpus
    work = partial(_score_here, dataset=dataset, found=score_set(config), scorer=scorer)
    on_worker = partial(_score_on_worker, dataset=dataset, config=config, digest=scorer.digest)
    return ray_cluster.map_unordered(
        work if local else on_worker,
        units,
        workers=config.workers,
        local=local,
        deadline_seconds=DEADLINE_SECONDS,
        gpus_per_worker=gpus,
    )


def _score_here(
    unit: Unit, _shared: Shared, *, dataset: Dataset, found: ScoreSet, scorer: Scorer
) -> Counts:
    return score_shard(unit, dataset, found, scorer)


def _score_on_worker(
    unit: Unit, _shared: Shared, *, dataset: Dataset, config: ScoresConfig, digest: str
) -> Counts:
    scorer = _worker_scorer(config)
    if scorer.digest != digest:
        raise UnitError(
            f"the model is another one on this worker than where the command began: a run that "
            f"went on, or another file on another machine ({config})"
        )
    return score_shard(unit, dataset, score_set(config), scorer)


@lru_cache(maxsize=1)
def _worker_scorer(config: ScoresConfig) -> Scorer:
    """Loaded once per worker."""
    return build_scorer(config)


def score_shard(unit: Unit, dataset: Dataset, found: ScoreSet, scorer: Scorer) -> Counts:
    """Score one shard; its table is written last, so that it means that all is there."""
    started = time.perf_counter()
    samples = read_samples(dataset, unit.shard)
    rows = Rows(scorer, len(samples))
    batches = Ahead(
        _with_images(dataset, samples, scorer), partial(_prepare, scorer), scorer.batch_size
    )
    undecoded = 0
    for batch in batches:
        prepared = [each for each in batch if each is not None]
        undecoded += sum(each is None for each in batch)
        places = [place for place, each in enumerate(batch) if each is not None]
        here = samples[rows.filled : rows.filled + len(batch)]
        scored = scorer.score([here[place] for place in places], prepared) if places else None
        rows.add(len(batch), places, scored)
    uids = [sample.uid for sample in samples]
    if scorer.beside is not None:
        scorer.beside.write(unit, uids, rows.beside)
    found.write(unit.shard, rows.table(uids), unit.source(scorer.digest))
    taken_down = sum(sample.taken_down for sample in samples)
    if undecoded > taken_down:
        logger.warning("pictures not decoded shard=%s count=%d", unit, undecoded - taken_down)
    return Counts(
        shards=1,
        samples=len(samples),
        taken_down=taken_down,
        undecoded=undecoded - taken_down,
        seconds=time.perf_counter() - started,
        waited_seconds=batches.waited_seconds,
    )


class Rows:
    """The values of a shard's samples, filled batch by batch."""

    def __init__(self, scorer: Scorer, count: int) -> None:
        self._schema = scorer.schema
        self._columns: dict[str, list[Any]] = {
            field.name: [float("nan") if pa.types.is_floating(field.type) else None] * count
            for field in scorer.schema
        }
        widths = {} if scorer.beside is None else scorer.beside.widths
        self.beside = {name: np.zeros((count, width), np.float16) for name, width in widths.items()}
        self.filled = 0

    def add(self, count: int, places: list[int], scored: Scored | None) -> None:
        """The next `count` rows, of which those at `places` have values."""
        rows = [self.filled + place for place in places]
        self.filled += count
        if scored is None:
            return
        for name, column in self._columns.items():
            for row, value in zip(rows, scored.columns[name], strict=True):
                column[row] = value
        for name, array in self.beside.items():
            array[rows] = scored.beside[name]

    def table(self, uids: list[str]) -> pa.Table:
        """All rows, the uid first."""
        schema = pa.schema([pa.field("uid", pa.string(), nullable=False), *self._schema])
        return pa.table({"uid": uids, **self._columns}, schema=schema)


def _with_images(
    dataset: Dataset, samples: list[StoredSample], scorer: Scorer
) -> Iterator[tuple[StoredSample, bytes]]:
    images = iterate_images(dataset, samples) if scorer.prepare else (b"" for _ in samples)
    yield from zip(samples, images, strict=True)


def _prepare(scorer: Scorer, item: tuple[StoredSample, bytes]) -> Any:
    """What `score` is given of a sample; None if it is not there."""
    sample, image = item
    if sample.taken_down:
        return None
    if scorer.prepare is None:
        return image
    try:
        return scorer.prepare(image)
    except ValueError as error:
        logger.warning(
            "picture not decoded uid=%s bytes=%d error=%s", sample.uid, len(image), error
        )
        return None


def _tell(counts: Counts, scorer: Scorer) -> None:
    """For the metrics; without a model there is nothing that could wait for data."""
    lost = {"taken_down": counts.taken_down, "undecoded": counts.undecoded}
    scored = counts.samples - sum(lost.values())
    tally.now().add_items("samples", {"scored": scored, **lost})
    if scorer.model is not None:
        tally.now().add_model_seconds(counts.seconds, counts.waited_seconds)


def _report(label: str, total: Counts, done: int, scorer: Scorer) -> None:
    logger.info(
        "scored set=%s shards=%d already_done=%d samples=%d taken_down=%d undecoded=%d",
        *(label, total.shards, done, total.samples, total.taken_down, total.undecoded),
    )
    if total.shards:
        logger.info("samples_per_worker_second=%.1f", total.samples / total.seconds)
    if total.shards and scorer.model is not None:
        logger.info("model=%s data_wait_share=%.3f", scorer.model, total.data_wait_share)
