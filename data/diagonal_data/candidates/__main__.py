"""Crawls, pages and URL lists to candidates: URL and text, nothing fetched yet.

    python -m diagonal_data.candidates wat  --input 'crawl/*.wat.gz'  --output out/c
    python -m diagonal_data.candidates warc --input 'crawl/*.warc.gz' --output out/c
    python -m diagonal_data.candidates site --input https://example.org/ --output out/c
    python -m diagonal_data.candidates urls --input laion.parquet --output out/c --clean coyo \
        --balance.t 20000 --balance.metadata entries.txt
    python -m diagonal_data.candidates report --candidates out/c

    OUTPUT/config.json            what was asked for
    OUTPUT/read/, pool/ …         what the stages hand on; another --balance.t reads none of it anew
    OUTPUT/part-00000.parquet …   candidates, each uid once, sorted by uid in each part
    OUTPUT/summary.json           the funnel, files read, configuration; written last: "done"

The result is one set of rows, whatever the order of files, the number of workers and partitions. A
killed run goes on where it was; an input that has grown is read where it is new; other flags start
over at the first stage that they concern.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

from diagonal_data.candidates import pages_of, report
from diagonal_data.candidates.config import CandidatesConfig, ReportConfig
from diagonal_data.candidates.plan import InputFile
from diagonal_data.candidates.recipes import CANDIDATES
from diagonal_data.demo.server import demo_web
from diagonal_infra import log, run_dir, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import DiagonalError, UserError
