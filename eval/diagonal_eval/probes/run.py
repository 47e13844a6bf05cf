"""The commands `probe` and `fine-tune`: sets and checkpoint → results.json, predictions, report.

    probe       OUTPUT/results.json   {"tasks": {NAME: …}, "absent", "refused", "checkpoint", …}
                OUTPUT/predictions/NAME.parquet
                OUTPUT/report.html, results.md, results.csv, results.tex, README.md
    fine-tune   OUTPUT/results.json   {"curves": {NAME: {"acc1": [per alpha], …}}, "alphas", …}
                OUTPUT/report.html    the curves
                OUTPUT/weights.safetensors   all that was trained, `head_CD` included

A set without a training split stands under "absent" with how to get it. Results appear whole.
"""

import logging
from typing import Any

from safetensors.torch import save

from diagonal_eval.embed import Encoder, load_encoder
from diagonal_eval.features import FeatureStore
from diagonal_eval.probes.config import FineTuneConfig, ProbeConfig
from diagonal_eval.probes.fine_tune import fine_tune
from diagonal_eval.probes.linear import measure_probe
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_eval.sets.registry import expand
from diagonal_eval.suite.run import pictures_of, write_task
from diagonal_eval.suite_report.page import fine_tuning_html
from diagonal_eval.suite_report.write import write_suite_report
from diagonal_infra import log, run_dir, storage
from diagonal_infra.errors import UnitError, UserError

TRAIN = "train"
logger = logging.getLogger(__name__)


def run_probes(config: ProbeConfig) -> dict[str, Any]:
    """Probe every set that is there; the record of results.json.

    Raises:
        UserError: no set is there.
        UnitError: some sets were refused; the others are measured and written.
    """
    absent, refused, opened = {}, {}, {}
    for name in expand(config.tasks):
        try:
            splits = open_set(name, config.sets, TRAIN), open_set(name, config.sets)
            opened[name] = splits
        except AbsentSetError as error:
            absent[name] = str(error)
        except UserError as error:
            refused[name] = str(error)
    if not opened:
        reasons = "; ".join([*absent.values(), *refused.values()])
        raise UserError(f"no set can be probed: {reasons}")
    storage.check_writable(config.output)
    run_dir.write_config(config.output, config)
    encoder = load_encoder(config.checkpoint)
    cache = config.cache or storage.join(config.output, "cache")
    store = FeatureStore(cache, encoder, batch_size=config.batch_size)
    tasks = {}
    for name, (train, test) in opened.items():
        try:
            measured = measure_probe(train, test, store, config)
        except UserError as error:
            refused[name] = str(error)
            continue
        tasks[name] = write_task(config.output, test, measured)
        metrics = tasks[name]["metrics"]
        logger.info("probe task=%s c=%g %s", name, tasks[name]["probe"]["c"], metrics)
    record = {"tasks": tasks, "absent": absent, "refused": refused, "seed": config.seed}
    record |= _about(encoder)
    _write(config.output, record)
    picture = pictures_of([test for _, test in opened.values()])
    written = write_suite_report(config.output, record, picture=picture)
    _say("report", written[0])
    if refused:
        raise UnitError(f"{len(refused)} sets were refused: {'; '.join(refused.values())}")
    return record


def run_fine_tune(config: FineTuneConfig) -> dict[str, Any]:
    """Fine-tune on a set and measure the curve; the record of results.json.

    Raises:
        UserError: a set is not there, or its classes are not those of the training split.
        DiagonalError: the loss is not finite.
    """
    train = open_set(config.task, config.sets, TRAIN)
    target = open_set(config.task, config.sets)
    shifts = [open_set(name, config.sets) for name in expand(config.shifts)]
    storage.check_writable(config.output)
    run_dir.write_config(config.output, config)
    encoder = load_encoder(config.checkpoint)
    cache = storage.join(config.output, "cache")
    store = FeatureStore(cache, encoder, batch_size=config.batch_size)
    found = fine_tune(train, target, store, config, shifts)
    weights = {name: weight.cpu().contiguous() for name, weight in found.tuned.items()}
    storage.write_bytes(storage.join(config.output, "weights.safetensors"), save(weights))
    record = found.record | _about(encoder)
    _write(config.output, record)
    page = storage.join(config.output, "report.html")
    storage.write_bytes(page, fine_tuning_html(record).encode("utf-8", "replace"))
    _say("report", page)
    return record


def _about(encoder: Encoder) -> dict[str, Any]:
    return {
        "checkpoint": encoder.name,
        "checkpoint_step": encoder.step,
        "encoder_digest": encoder.digest,
        "code_revision": run_dir.code_revision(),
    }


def _write(output: str, record: dict[str, Any]) -> None:
    path = storage.join(output, "results.json")
    storage.write_bytes(path, run_dir.to_json(record))
    _say("results", path)


def _say(what: str, path: str) -> None:
    log.STDOUT.print(f"{what}: {path}", soft_wrap=True, highlight=False)
