"""Named configurations of the data commands; filters/recipes.py has those of filters.

python -m diagonal_data.candidates urls --input 'list-{000..003}.parquet' --output out/c
python -m diagonal_data.shards web --candidates out/c --dataset out/d
python -m diagonal_data.report funnel --dataset out/d
"""

from diagonal_data.config import (
    CandidatesConfig,
    DecodeConfig,
    ReportConfig,
    ShardsConfig,
)
from diagonal_data.demo.web import DEFAULT_PORT, hosts_at
from diagonal_data.fetch_config import FetchConfig

DEMO_WEB = "out/demo/web"
DEMO_HOSTS = hosts_at(DEFAULT_PORT)


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


def web() -> ShardsConfig:
    """Any candidates: 256 px long side, 10,000 candidates per shard."""
    return ShardsConfig(candidates="out/candidates", dataset="out/dataset")


def datacomp() -> ShardsConfig:
    """DataComp's settings: 512 px long side, never enlarged, JPEG."""
    return ShardsConfig(candidates="out/candidates", dataset="out/dataset", image_size=512)


def demo_shards() -> ShardsConfig:
    """The demo's candidates: 64 px squares, small shards, two Ray workers."""
    return ShardsConfig(
        candidates="out/demo/candidates",
        dataset="out/demo/dataset",
        image_size=64,
        samples_per_shard=1_000,
        allow_hosts=DEMO_HOSTS,
        # Its hosts mix a few opt-outs among thousands of drawings, and are our own.
        fetch=FetchConfig(max_per_host=16, host_opt_outs=0),
        decode=DecodeConfig(resize_mode="border", only_if_bigger=False),
        serve=DEMO_WEB,
    )


def funnel() -> ReportConfig:
    """What became of every candidate: by reason, and by host."""
    return ReportConfig(dataset="out/dataset")


def demo_report() -> ReportConfig:
    """The demo's funnel."""
    return ReportConfig(dataset="out/demo/dataset")


CANDIDATES = {"urls": urls, "crawl": crawl, "demo": demo_candidates}
SHARDS = {"web": web, "datacomp": datacomp, "demo": demo_shards}
REPORT = {"funnel": funnel, "demo": demo_report}
