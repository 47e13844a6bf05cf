"""Pages per second of one core: from WAT and WARC files to images with texts, ours and others'.

    WAT     this package, cc2dataset's loop, inflating alone (fastwarc; isal)
    WARC    this package, loops over `img[alt]` of selectolax, lxml and resiliparse, inflating alone

All are measured in one process on one core, in turns, by CPU time; the best turn of each counts,
for what else the machine does can only slow it down. The loops take src and alt of images that have
both and nothing else. What is not installed is left out; cc2dataset is run from its source, for
installing it would bring Spark.
"""

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from fastwarc.warc import (  # pyright: ignore[reportMissingModuleSource]  # compiled
    ArchiveIterator,
    WarcRecordType,
)
from isal import igzip
from selectolax.lexbor import LexborHTMLParser

from diagonal_data.candidates.found import ReadCounts
from diagonal_data.candidates.warc import read_warc
from diagonal_data.candidates.wat import read_wat

Count = Callable[[bytes], int]
"""From the bytes of a file to pairs found, or to bytes inflated."""
NOT_NEEDED = ("pyspark", "pyspark.sql", "pyspark.sql.functions", "loguru")
"""What cc2dataset's module imports and its loop does not use."""


def measure(
    crawl: Path, *, cc2dataset: Path | None, peers: Path | None, core: int = 0, turns: int = 5
) -> dict[str, Any]:
    """Pages per second and pairs of each way, by file.

    Args:
        crawl: folder with pages.wat.gz and pages.warc.gz (candidates_crawl.py writes them).
        cc2dataset: folder with cc2dataset's source.
        peers: site-packages with lxml, resiliparse and pysimdjson.
        core: to run on.
        turns: of each way.
    """
    os.sched_setaffinity(0, {core})
    sys.path += [str(folder) for folder in (cc2dataset, peers) if folder]
    wat, warc = ((crawl / f"pages.{kind}.gz").read_bytes() for kind in ("wat", "warc"))
    pages = read_counts(read_warc, warc).pages["read"]
    return {
        "pages": pages,
        "page_bytes": in_html(warc) // pages,
        "wat": in_turns(wat_ways(), wat, pages, turns),
        "warc": in_turns(warc_ways(), warc, pages, turns),
    }


def in_turns(ways: Mapping[str, Count], file: bytes, pages: int, turns: int) -> dict[str, Any]:
    """Each way as often as the others, one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, int] = {}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            found[name] = way(file)
            seconds[name].append(time.process_time() - start)
    return {
        name: {"pages_per_second": pages / min(taken), "seconds": taken, "found": found[name]}
        for name, taken in seconds.items()
    }


def wat_ways() -> dict[str, Count]:
    """The ways for a WAT."""
    ways: dict[str, Count] = {"ours": lambda file: rows(read_wat, file)}
    if find_spec("cc2dataset") and find_spec("simdjson"):
        extract = cc2dataset_module().extract_documents_from_wat
        ways["cc2dataset"] = lambda file: len(list(extract(BytesIO(file), "image")))
    return {**ways, "inflate (fastwarc)": in_wat, "inflate (isal)": in_gzip}


def warc_ways() -> dict[str, Count]:
    """The ways for a WARC."""
    ways: dict[str, Count] = {"ours": lambda file: rows(read_warc, file), "selectolax": selectolax}
    if find_spec("lxml"):
        ways["lxml"] = lxml
    if find_spec("resiliparse"):
        ways["resiliparse"] = resiliparse
    return {**ways, "inflate (fastwarc)": in_html, "inflate (isal)": in_gzip}


def read_counts(read: Callable[..., Any], file: bytes) -> ReadCounts:
    """What a reader counts."""
    counts = ReadCounts()
    for _ in read(BytesIO(file), counts):
        pass
    return counts


def rows(read: Callable[..., Any], file: bytes) -> int:
    """Rows that a reader gives."""
    return sum(map(len, read(BytesIO(file), ReadCounts())))


def selectolax(file: bytes) -> int:
    """The straightforward loop."""
    pairs = []
    for page in html_pages(file):
        for node in LexborHTMLParser(page).css("img[alt]"):
            tag = node.attributes
            if tag.get("alt") and tag.get("src"):
                pairs.append((tag["src"], tag["alt"]))
    return len(pairs)


def lxml(file: bytes) -> int:
    """The straightforward loop."""
    html = importlib.import_module("lxml.html")
    parser = html.HTMLParser(encoding="utf-8")
    pairs = []
    for page in html_pages(file):
        for node in html.document_fromstring(page, parser=parser).iter("img"):
            if node.get("alt") and node.get("src"):
                pairs.append((node.get("src"), node.get("alt")))
    return len(pairs)


def resiliparse(file: bytes) -> int:
    """The straightforward loop."""
    html = importlib.import_module("resiliparse.parse.html")
    pairs = []
    for page in html_pages(file):
        tree = html.HTMLTree.parse(page.decode("utf-8", "replace"))
        for node in tree.body.query_selector_all("img[alt]"):
            alt, src = node.getattr("alt"), node.getattr("src")
            if alt and src:
                pairs.append((src, alt))
    return len(pairs)


def html_pages(file: bytes) -> Any:
    """The bodies of the responses."""
    wanted = WarcRecordType.response
    for record in ArchiveIterator(BytesIO(file), record_types=wanted, parse_http=True):
        yield record.reader.read()


def in_html(file: bytes) -> int:
    """Bytes of all pages."""
    return sum(map(len, html_pages(file)))


def in_wat(file: bytes) -> int:
    """Bytes of all metadata."""
    wanted = WarcRecordType.metadata
    records = ArchiveIterator(BytesIO(file), record_types=wanted, parse_http=False)
    return sum(len(record.reader.read()) for record in records)


def in_gzip(file: bytes) -> int:
    """Bytes of the whole file."""
    size = 0
    with igzip.GzipFile(fileobj=BytesIO(file)) as inflated:
        while piece := inflated.read(2**20):
            size += len(piece)
    return size


def cc2dataset_module() -> Any:
    """cc2dataset.main without Spark, which its loop does not need."""
    for name in NOT_NEEDED:
        sys.modules.setdefault(name, _Empty(name))
    return importlib.import_module("cc2dataset.main")


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> logging.Logger:
        # Whatever is imported from it; loguru's logger is the one that may be called.
        return logging.getLogger(self.__name__)
