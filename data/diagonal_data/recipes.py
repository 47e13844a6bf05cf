"""Named configurations of the data commands; a package's own recipes.py has those of its command.

python -m diagonal_data.shards web --candidates out/c --dataset out/d
python -m diagonal_data.report funnel --dataset out/d
"""

from diagonal_data.config import (
    DecodeConfig,
    ReportConfig,
    ShardsConfig,
)
from diagonal_data.demo.web import DEMO_HOSTS, DEMO_WEB
from diagonal_data.fetch_config import FetchConfig


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


SHARDS = {"web": web, "datacomp": datacomp, "demo": demo_shards}
REPORT = {"funnel": funnel, "demo": demo_report}
