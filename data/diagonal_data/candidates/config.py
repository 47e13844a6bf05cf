"""Configuration of the candidates command."""

from dataclasses import dataclass, field

from diagonal_data.fetch_config import FetchConfig
from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class CandidatesConfig:
    """Where URL–text pairs come from and where the candidates go."""

    output: str
    """Folder for part-*.parquet; must be empty or made by the same command."""
    input: str | None = None
    """`urls`: Parquet, CSV, TSV or JSONL lists; brace patterns, globs, folders, any fsspec URL."""
    seeds: tuple[str, ...] = ()
    """`crawl`: pages to start from; only their hosts and --allow-hosts are visited."""
    max_pages: int = 10_000
    """`crawl`: most pages read."""
    rows_per_part: int = 100_000
    """Candidates in one Parquet file."""
    allow_hosts: tuple[str, ...] = ()
    """HOST or HOST:PORT on loopback or private addresses that may be visited all the same."""
    fetch: FetchConfig = field(default_factory=FetchConfig)
    """Network manners of the crawl; a page over 4 MiB (or --fetch.max-bytes, if less) ends as
    body_too_large, and the first MiB of a page is read."""
    serve: str | None = None
    """Folder of a small web to serve on loopback while the command runs; made if missing (demo)."""

    def __post_init__(self) -> None:
        require(self.rows_per_part >= 1, "--rows-per-part must be at least 1")
        require(self.max_pages >= 1, "--max-pages must be at least 1")
