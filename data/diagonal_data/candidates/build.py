"""From input to candidates: crawl if it is a site, read, then the stages behind it.

    site ─► OUTPUT/site/*.warc.gz ─┐
    files ─────────────────────────┴► read/ ─► pool/ … ─► part-*.parquet ─► summary.json

The summary is written last and means "done". Whatever stops a run, the same command goes on: each
stage leaves files that appear whole and are not made twice.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, TypeVar

from rich.table import Table

from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.candidates.found import ReadCounts
from diagonal_data.candidates.html_folder import find_pages
from diagonal_data.candidates.lists import check_lists, find_lists
from diagonal_data.candidates.plan import InputFile, input_file, plan_units
from diagonal_data.candidates.pool import PoolParams, make_parts
from diagonal_data.candidates.reading import FOLDER, Reading, read_units, settled_partitions
from diagonal_data.candidates.site import check_seeds, crawl_to_warc
from diagonal_data.demo.server import demo_web
from diagonal_infra import log, ray_cluster, run_dir, storage
from diagonal_infra.errors import DiagonalError, UserError

Result = TypeVar("Result")
WARC_FILES = (".warc", ".warc.gz")
WAT_FILES = (".wat", ".wat.gz", ".warc.wat.gz")
FREE = ("workers", "local", "unit_deadline_seconds", "unit_bytes", "serve")
"""Flags that change nothing in the result."""
logger = logging.getLogger(__name__)


def build(config: CandidatesConfig) -> None:
    """Write the candidates folder, or say that it is finished.

    Raises:
        UserError: input that cannot be used, or an output folder of something else; nothing is
            written then.
        UnitError: units that failed again and again; the others are done.
        DiagonalError: not a single candidate came out.
    """
    finished = finished_summary(config)
    files = input_files(config, finished)
    if finished is not None and [asdict(file) for file in files] in ([], finished["inputs"]):
        logger.info("%s is finished; nothing to do", config.output)
        return
    claim_folder(config)
    if finished is not None:
        logger.warning("the input of %s has changed; what is new is read", config.output)
    with ExitStack() as stack:
        stack.enter_context(storage.sole_writer(config.output))
        stack.enter_context(demo_web(config.serve))
        counts = ReadCounts()
        warcs = files
        if config.reader == "site":
            counts.pages.update(crawl(config))
            warcs = [input_file(path) for path in find_files(config, (_site_folder(config),))]
        read, rows = make_candidates(config, warcs, stack)
    counts.images.update(read.images)
    if config.reader != "site":
        counts.pages.update(read.pages)
    funnel = {"pages": dict(+counts.pages), "images": dict(+counts.images), "rows": rows}
    if not rows.get("kept"):
        raise DiagonalError(f"no candidates came out: {in_words(funnel)}")
    inputs = [asdict(file) for file in files]
    summary = {"funnel": funnel, "inputs": inputs, "config": run_dir.resolved(config)}
    storage.write_bytes(_summary_path(config), run_dir.to_json(summary))
    log.STDOUT.print(as_table(funnel, config.output))


def make_candidates(
    config: CandidatesConfig, files: Sequence[InputFile], stack: ExitStack
) -> tuple[ReadCounts, dict[str, int]]:
    """Read the files and make the parts; counts of the reading, and rows by what became of them."""
    folder = storage.join(config.output, FOLDER)
    partitions = settled_partitions(folder, config.partitions, files)
    reader = "warc" if config.reader == "site" else config.reader
    units = plan_units(reader, files, config.unit_bytes)
    local = config.local or (len(units) < 2 and partitions < 2)
    if not local:
        stack.enter_context(ray_cluster.start(config.workers))

    def run(
        function: Callable[[int], Result], items: Sequence[int]
    ) -> Iterator[tuple[int, Result]]:
        results = ray_cluster.map_unordered(
            lambda item, _: function(item),
            items,
            workers=config.workers,
            local=local,
            deadline_seconds=config.unit_deadline_seconds,
        )
        with log.progress() as bar:
            yield from bar.track(results, len(items), description="parts")

    reading = Reading(
        folder=folder,
        partitions=partitions,
        agent=config.fetch.robots_agent,
        pages_folder=pages_folder(config.input) if config.base_url else "",
        base_url=config.base_url,
    )
    counts = read_units(
        reading,
        units,
        workers=config.workers,
        local=local,
        deadline_seconds=config.unit_deadline_seconds,
    )
    params = PoolParams(
        output=config.output,
        partitions=partitions,
        clean=config.clean,
        detect_language=config.detect_language,
        languages=config.languages,
        dedup=config.dedup,
        balance=config.balance,
    )
    return counts, make_parts(params, run)


def finished_summary(config: CandidatesConfig) -> dict[str, Any] | None:
    """The summary of a finished result of these flags; None if there is none."""
    if not storage.exists(_summary_path(config)):
        return None
    summary = json.loads(storage.read_bytes(_summary_path(config)))
    ours = run_dir.resolved(config)
    theirs = summary.get("config", {})
    same = all(theirs.get(name) == value for name, value in ours.items() if name not in FREE)
    return summary if same else None


def input_files(config: CandidatesConfig, finished: dict[str, Any] | None) -> list[InputFile]:
    """The files that --input names; none for a site, and none if they went after the last run.

    Raises:
        UserError: nothing is named, or nothing there can be read.
    """
    if not config.input:
        raise UserError("give --input: files, or for 'site' the pages to start from")
    if config.reader == "site":
        check_seeds(config.input)
        return []
    try:
        found = find_files(config, config.input)
    except UserError as error:
        if finished is None:
            raise
        logger.warning("the input of %s is gone: %s", config.output, error)
        return []
    if config.reader == "urls":
        check_lists(found)
    return [input_file(path) for path in found]


def find_files(config: CandidatesConfig, patterns: Sequence[str]) -> list[str]:
    """Paths of the reader's kind of file, each once, sorted."""
    if config.reader == "urls":
        return sorted(set(find_lists(patterns)))
    if config.reader == "html":
        return sorted({path for pattern in patterns for path in find_pages(pattern)})
    endings = WAT_FILES if config.reader == "wat" else WARC_FILES
    found = {path for pattern in patterns for path in storage.expand(pattern)}
    chosen = sorted(path for path in found if path.lower().endswith(endings))
    if not chosen:
        raise UserError(
            f"no {config.reader.upper()} file among {', '.join(sorted(found)[:5])}; --input takes "
            f"{', '.join(endings)}"
        )
    return chosen


def pages_folder(patterns: Sequence[str]) -> str:
    """The folder in which --base-url begins: what the pattern names before its first star.

    Raises:
        UserError: there are several.
    """
    if len(patterns) != 1:
        raise UserError("--base-url is of one folder: give --input once")
    (pattern,) = patterns
    before = re.split(r"[*?{\[]", pattern)[0]
    return (before if before == pattern else before.rpartition("/")[0]).rstrip("/")


def crawl(config: CandidatesConfig) -> dict[str, int]:
    """Visit the site; what became of its pages."""
    return dict(
        crawl_to_warc(
            config.input,
            config.fetch,
            config.allow_hosts,
            _site_folder(config),
            max_pages=config.max_pages,
        )
    )


def claim_folder(config: CandidatesConfig) -> None:
    """Make the output folder ours: the configuration first, and no summary of an earlier result.

    Raises:
        UserError: the folder holds files of something else, which are not touched.
    """
    names = [name for name in storage.list_files(config.output) if name != storage.LOCK_NAME]
    if names and "config.json" not in names:
        raise UserError(
            f"--output {config.output!r} holds other files ({', '.join(names[:3])}); choose a new "
            "or empty folder"
        )
    storage.check_writable(config.output)
    storage.delete(_summary_path(config))
    run_dir.write_config(config.output, config)
    storage.delete_partials(config.output)


def as_table(funnel: dict[str, dict[str, int]], title: str) -> Table:
    """The counts for people."""
    table = Table("what", "count", title=title)
    table.columns[1].justify = "right"
    for group, counts in funnel.items():
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(f"{group}: {name.replace('_', ' ')}", f"{count:,}")
    return table


def in_words(funnel: dict[str, dict[str, int]]) -> str:
    """The counts in one line."""
    found = [
        f"{group} {name.replace('_', ' ')} {count}"
        for group, counts in funnel.items()
        for name, count in counts.items()
    ]
    return ", ".join(found) or "nothing was there"


def _summary_path(config: CandidatesConfig) -> str:
    return storage.join(config.output, "summary.json")


def _site_folder(config: CandidatesConfig) -> str:
    return storage.join(config.output, "site")
