"""Named configurations of the candidates commands.

python -m diagonal_data.candidates urls --input 'list-{000..003}.parquet' --output out/c
python -m diagonal_data.candidates wat --input 'crawl/*.wat.gz' --output out/c --clean laion
"""

from diagonal_data.candidates.config import CandidatesConfig, ReportConfig
from diagonal_data.candidates.metadata import MetadataConfig
from diagonal_data.demo.web import DEMO_HOSTS, DEMO_WEB
from diagonal_data.fetch_config import FetchConfig

OUTPUT = "out/candidates"


def wat() -> CandidatesConfig:
    """Common Crawl WAT files: the images of pages with their alternative texts."""
    return CandidatesConfig(reader="wat", output=OUTPUT)


def warc() -> CandidatesConfig:
    """WARC files: whole pages, so captions of figures, licences and opt-outs count too."""
    return CandidatesConfig(reader="warc", output=OUTPUT)


def html() -> CandidatesConfig:
    """A folder of HTML pages; --base-url says where on the web it stands."""
    return CandidatesConfig(reader="html", output=OUTPUT)


def site() -> CandidatesConfig:
    """A polite crawl from --input, kept as WARC; for sites that you may crawl."""
    return CandidatesConfig(reader="site", output=OUTPUT)


def urls() -> CandidatesConfig:
    """URL lists (Parquet, CSV, TSV, JSONL): LAION, COYO, DataComp, img2dataset, CC3M …"""
    return CandidatesConfig(reader="urls", output=OUTPUT)


def report() -> ReportConfig:
    """What came out of any of them, and what fetching it would take."""
    return ReportConfig(candidates=OUTPUT)


def metadata() -> MetadataConfig:
    """Words, bigrams, titles and WordNet's lemmas to entries for --balance.metadata."""
    return MetadataConfig(output="out/entries.txt")


def demo() -> CandidatesConfig:
    """Crawl the demo's small web, served on loopback meanwhile."""
    return CandidatesConfig(
        reader="site",
        output="out/demo/candidates",
        input=tuple(f"http://{host}/" for host in DEMO_HOSTS),
        allow_hosts=DEMO_HOSTS,
        # Its hosts mix a few opt-outs among thousands of drawings, and are our own.
        fetch=FetchConfig(max_per_host=16, host_opt_outs=0),
        serve=DEMO_WEB,
    )


CANDIDATES = {
    "wat": wat,
    "warc": warc,
    "html": html,
    "site": site,
    "urls": urls,
    "report": report,
    "metadata": metadata,
    "demo": demo,
}
