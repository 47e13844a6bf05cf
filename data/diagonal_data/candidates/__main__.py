"""Crawls, pages and URL lists to candidates: URL and text, nothing fetched yet.

    python -m diagonal_data.candidates wat  --input 'crawl/*.wat.gz'  --output out/c
    python -m diagonal_data.candidates warc --input 'crawl/*.warc.gz' --output out/c
    python -m diagonal_data.candidates site --input https://example.org/ --output out/c
    python -m diagonal_data.candidates urls --input laion.parquet --output out/c --clean coyo \\
        --balance.t 20000 --balance.metadata entries.txt
    python -m diagonal_data.candidates report --candidates out/c
    python -m diagonal_data.candidates metadata --corpus 'texts/*.txt.gz' --output entries.txt

    OUTPUT/config.json            what was asked for
    OUTPUT/read/, pool/ …         what the stages hand on; another --balance.t reads nothing anew
    OUTPUT/part-00000.parquet …   candidates, each uid once, sorted by uid within a part
    OUTPUT/summary.json           the funnel, files read, configuration; written last: "done"

The result is one set of rows, whatever the order of files, the number of workers and partitions. A
killed run goes on where it was; an input that has grown is read where it is new; other flags start
over at the first stage that they concern.
"""

from diagonal_data.candidates import metadata, report
from diagonal_data.candidates.build import build
from diagonal_data.candidates.config import CandidatesConfig, ReportConfig
from diagonal_data.candidates.metadata import MetadataConfig
from diagonal_data.candidates.recipes import CANDIDATES
from diagonal_infra.cli import run_command


def main(config: CandidatesConfig | ReportConfig | MetadataConfig) -> None:
    """Run the one of the three that the recipe is for."""
    if isinstance(config, ReportConfig):
        report.main(config)
    elif isinstance(config, MetadataConfig):
        metadata.main(config)
    else:
        build(config)


if __name__ == "__main__":
    run_command(main, CANDIDATES, description=__doc__)
