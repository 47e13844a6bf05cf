"""URL lists or web pages to candidates: URL and text, nothing fetched yet.

    python -m diagonal_data.candidates urls --input 'list-{000..003}.parquet' --output out/c
    python -m diagonal_data.candidates crawl --seeds https://example.org/ --output out/c

    OUTPUT/config.json            what was asked for; written first
    OUTPUT/part-00000.parquet …   candidates, each uid once
    OUTPUT/summary.json           counts, lists read, configuration; written last: it means "done"

A killed run leaves no summary; the same command starts over and overwrites its parts. So it does
when a list is not the one that was read: the summary goes first then. Lists that are all gone
leave the folder finished. The uids of all candidates are held in memory, about 100 bytes each.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator, WarcRecordType
from rich.table import Table

from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.candidates.lists import (
    ListBatch,
    check_lists,
    find_lists,
    read_lists,
    version_of,
)
from diagonal_data.candidates.page import Page, collapse, read_page
from diagonal_data.candidates.recipes import CANDIDATES
from diagonal_data.candidates.site import crawl_to_warc, parse_content_type
from diagonal_data.candidates.site_warc import warc_files
from diagonal_data.demo.server import demo_web
from diagonal_data.schema import Candidate, candidate_for, candidates_table
from diagonal_infra import log, run_dir, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import DiagonalError, UserError

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Counts:
    """What was found and what of it became candidates."""

    candidates: int = 0
    duplicates: int = 0
    empty_captions: int = 0
    rows_without_url: int = 0
    pages: Counter[str] = field(default_factory=Counter)
    """Pages asked for, by outcome."""


def main(config: CandidatesConfig) -> None:
    """Write the candidates folder, or say that it is finished.

    Raises:
        UserError: neither or both of --input and --seeds, lists that cannot be used, or an output
            folder of something else; nothing is written then.
        DiagonalError: not a single candidate came out.
    """
    if (config.input is None) == (not config.seeds):
        raise UserError("give --input (URL lists) or --seeds (pages to crawl), one of the two")
    finished = finished_summary(config)
    lists = lists_to_read(config, finished)
    # Taken before the lists are read: one that changes meanwhile is read again by the next run.
    inputs = [version_of(path) for path in lists]
    if finished is not None and inputs in ([], finished.get("inputs")):
        logger.info("%s is finished; nothing to do", config.output)
        return
    if finished is not None:
        logger.warning("the lists of %s have changed and are read again", config.output)
    if config.input is not None:
        check_lists(lists)
    counts = Counts()
    with demo_web(config.serve):
        start_over(config)
        write_parts(config, found_candidates(config, lists, counts), counts)
    if counts.candidates == 0:
        raise DiagonalError(f"no candidates came out: {_in_words(counts)}")
    summary = {"counts": vars(counts), "inputs": inputs, "config": run_dir.resolved(config)}
    storage.write_bytes(_summary_path(config), run_dir.to_json(summary))
    log.STDOUT.print(as_table(counts, config.output))


def finished_summary(config: CandidatesConfig) -> dict[str, Any] | None:
    """The summary of a finished result of this configuration; None if there is none.

    Raises:
        UserError: the output folder holds that of another configuration.
    """
    if not storage.exists(_summary_path(config)):
        return None
    summary = json.loads(storage.read_bytes(_summary_path(config)))
    if summary.get("config") != run_dir.resolved(config):
        raise UserError(
            f"{config.output!r} holds candidates made with other flags (see its summary.json); "
            "choose another --output or delete it"
        )
    return summary


def lists_to_read(config: CandidatesConfig, finished: dict[str, Any] | None) -> list[str]:
    """The lists that --input names; none for a crawl, and none if they went after the last run."""
    if config.input is None:
        return []
    try:
        return find_lists(config.input)
    except UserError as error:
        if finished is None:
            raise
        logger.warning("the lists of %s are gone: %s", config.output, error)
        return []


def start_over(config: CandidatesConfig) -> None:
    """Record the configuration and remove an earlier result, its summary first.

    Raises:
        UserError: the folder holds files of something else, which are not touched.
    """
    names = storage.list_files(config.output)
    if names and "config.json" not in names:
        raise UserError(
            f"--output {config.output!r} holds other files ({', '.join(names[:3])}); choose a new "
            "or empty folder"
        )
    storage.check_writable(config.output)
    storage.delete(_summary_path(config))
    run_dir.write_config(config.output, config)
    # A longer run before this one would leave parts that this one does not overwrite.
    for name in names:
        if name.startswith("part-") and name.endswith(".parquet"):
            storage.delete(storage.join(config.output, name))
    storage.delete_partials(config.output)


def found_candidates(
    config: CandidatesConfig, lists: Sequence[str], counts: Counts
) -> Iterator[Candidate]:
    """All candidates in order, repeated ones too; what gives none is added to `counts`."""
    for batch in read_lists(lists):
        yield from _counted_rows(batch, counts)
    if not config.seeds:
        return
    folder = storage.join(config.output, "site")
    pages = crawl_to_warc(
        config.seeds, config.fetch, config.allow_hosts, folder, max_pages=config.max_pages
    )
    counts.pages.update(pages)
    for path in warc_files(Path(folder)):
        yield from _answered(path, config.fetch.robots_agent, counts)


def write_parts(config: CandidatesConfig, found: Iterable[Candidate], counts: Counts) -> None:
    """Write the candidates whose uid is new; each part appears whole or not at all."""
    seen: set[bytes] = set()
    part: list[Candidate] = []
    parts = 0
    with log.progress() as progress:
        task = progress.add_task("candidates", total=None)
        for candidate in found:
            uid = bytes.fromhex(candidate.uid)
            if uid in seen:
                counts.duplicates += 1
                continue
            seen.add(uid)
            part.append(candidate)
            counts.candidates += 1
            progress.advance(task)
            if len(part) == config.rows_per_part:
                _write_part(config.output, parts, part)
                parts, part = parts + 1, []
    if part:
        _write_part(config.output, parts, part)


def as_table(counts: Counts, title: str) -> Table:
    """The counts for people."""
    table = Table("what", "count", title=title)
    table.columns[1].justify = "right"
    for name, count in vars(counts).items():
        if name != "pages":
            table.add_row(name.replace("_", " "), f"{count:,}")
    for outcome, count in counts.pages.most_common():
        table.add_row(f"pages: {outcome}", f"{count:,}")
    return table


def _counted_rows(batch: ListBatch, counts: Counts) -> list[Candidate]:
    counts.rows_without_url += batch.rows_without_url
    counts.empty_captions += batch.empty_captions
    return batch.candidates


def _answered(path: Path, agent: str, counts: Counts) -> Iterator[Candidate]:
    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response):
            url = record.headers["WARC-Target-URI"]
            _, charset = parse_content_type(record.http_headers.get("content-type") or "")
            page = read_page(record.reader.read(), url, charset=charset, agent=agent)
            candidates = page_candidates(page, url)
            counts.empty_captions += len(page.pairs) - len(candidates)
            yield from candidates


def page_candidates(page: Page, page_url: str) -> list[Candidate]:
    """The page's pairs as candidates, in order; pairs whose caption is empty are left out."""
    return [
        candidate_for(
            pair.url,
            caption,
            caption_raw=pair.text,
            page_url=page_url,
            source=pair.source,
            width_hint=pair.width_hint,
            height_hint=pair.height_hint,
            licence=pair.licence,
        )
        for pair in page.pairs
        if (caption := collapse(pair.text))
    ]


def _write_part(folder: str, number: int, candidates: list[Candidate]) -> None:
    with storage.write_whole(storage.join(folder, f"part-{number:05d}.parquet")) as file:
        pq.write_table(candidates_table(candidates), file, compression="zstd")


def _summary_path(config: CandidatesConfig) -> str:
    return storage.join(config.output, "summary.json")


def _in_words(counts: Counts) -> str:
    found = {name: count for name, count in vars(counts).items() if name != "pages"}
    found |= {f"pages {outcome}": count for outcome, count in counts.pages.items()}
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in found.items())


if __name__ == "__main__":
    run_command(main, CANDIDATES, description=__doc__)
