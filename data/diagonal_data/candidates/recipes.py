"""Named configurations of the candidates command.

python -m diagonal_data.candidates urls --input 'list-{000..003}.parquet' --output out/c
"""

from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.demo.web import DEMO_HOSTS, DEMO_WEB
from diagonal_data.fetch_config import FetchConfig


def urls() -> CandidatesConfig:
    """URL lists (Parquet, CSV, TSV, JSONL) to candidates; give --input and --output."""
    return CandidatesConfig(output="out/candidates")


def crawl() -> CandidatesConfig:
    """A polite crawl from --seeds to candidates; for sites you may crawl."""
    return CandidatesConfig(output="out/candidates")


def demo_candidates() -> CandidatesConfig:
    """Crawl the demo's small web, served on loopback meanwhile."""
    return CandidatesConfig(
        output="out/demo/candidates",
        seeds=tuple(f"http://{host}/" for host in DEMO_HOSTS),
        allow_hosts=DEMO_HOSTS,
        # Its hosts mix a few opt-outs among thousands of drawings, and are our own.
        fetch=FetchConfig(max_per_host=16, host_opt_outs=0),
        serve=DEMO_WEB,
    )


CANDIDATES = {"urls": urls, "crawl": crawl, "demo": demo_candidates}
