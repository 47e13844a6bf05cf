"""Configuration of the candidates commands; recipes.py holds the named choices."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from diagonal_data.fetch_config import FetchConfig
from diagonal_infra.cli import Fixed
from diagonal_infra.cost import FetchRates
from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig

Reader = Literal["wat", "warc", "html", "site", "urls"]
CleanName = Literal["none", "web", "laion", "datacomp", "coyo", "align", "cc3m", "cc12m"]


@dataclass(frozen=True, kw_only=True)
class DedupConfig:
    """Which rows are copies of each other."""

    by: Literal["url-caption", "url", "none"] = "url-caption"
    """url-caption: an image keeps several captions; url: one, drawn by lot. URLs are compared
    without tracking parameters, size suffixes and the like."""
    max_per_caption: int = 0
    """Most rows with the same caption; 0 is no limit."""
    frequent: Literal["drop", "cap"] = "drop"
    """Of a caption with more rows: drop all of them (COYO, ALIGN), or keep that many by lot."""

    def __post_init__(self) -> None:
        require(self.max_per_caption >= 0, "--dedup.max-per-caption must be at least 0")


@dataclass(frozen=True, kw_only=True)
class BalanceConfig:
    """How often a concept may occur (MetaCLIP; CLIP §2.2)."""

    metadata: str | None = None
    """Entries: a text file with one a line, a JSON list, or a folder of LANG.txt; none given,
    nothing is matched or balanced."""
    rule: Literal["probability", "cap", "none"] = "probability"
    """probability: every entry keeps a row with min(1, t / its rows), as MetaCLIP; cap: every
    entry keeps the t rows with the lowest lots, as CLIP; none: matches only."""
    t: int = 20_000
    """Rows of an entry from which on it is thinned."""
    per_language: bool = False
    """Another t for each language, such that its share of rare entries is that of English
    (MetaCLIP 2)."""
    seed: int = 0
    """Of the lots; a lot depends on seed, uid and entry alone."""

    def __post_init__(self) -> None:
        require(self.t >= 1, f"--balance.t must be at least 1, got {self.t}")


@dataclass(frozen=True, kw_only=True)
class CandidatesConfig(MetricsConfig):
    """Where images and their texts come from, what becomes of them, and where they go."""

    reader: Annotated[Reader, Fixed]
    """The recipe's."""
    output: str
    """Folder of the result; must be new, empty or of the same command. Local or any fsspec URL."""
    input: tuple[str, ...] = ()
    """Files: brace patterns, globs, folders, any fsspec URL. `site`: pages to start from."""
    clean: CleanName = "none"
    """Rules for captions, as published; docs/candidates.md lists them. `none` tidies only."""
    detect_language: bool = True
    """Find the language of captions for which a list states none."""
    languages: tuple[str, ...] = ()
    """Languages of captions that stay, such as `en`; none given, all do."""
    dedup: DedupConfig = field(default_factory=DedupConfig)
    """Copies."""
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    """Concepts."""
    base_url: str | None = None
    """`html`: address of the folder on the web; without, relative addresses are lost."""
    max_pages: int = 10_000
    """`site`: most pages asked for."""
    unit_bytes: int = 256 * 2**20
    """Bytes of input that a worker reads at a time; a longer file is shared among several."""
    partitions: int = 0
    """Parts of the result, and of the work behind reading; 0: by the size of the input."""
    workers: int = 2
    """Ray workers; small inputs are read in this process."""
    local: bool = False
    """Work in this process, without Ray."""
    unit_deadline_seconds: float = 3600.0
    """A unit that takes longer is broken off and tried again."""
    allow_hosts: tuple[str, ...] = ()
    """`site`: HOST or HOST:PORT to visit too; on loopback or private addresses only by this."""
    fetch: FetchConfig = field(default_factory=FetchConfig)
    """`site`: network manners; the first MiB of a page is read, one over 4 MiB is given up."""
    serve: str | None = None
    """Folder of a small web to serve on loopback while the command runs; made if missing (demo)."""

    def __post_init__(self) -> None:
        require(self.unit_bytes >= 2**20, "--unit-bytes must be at least 1 MiB")
        require(self.partitions >= 0, "--partitions must be at least 0")
        require(self.workers >= 1, f"--workers must be at least 1, got {self.workers}")
        require(self.max_pages >= 1, "--max-pages must be at least 1")
        require(
            self.detect_language or not self.languages,
            "--languages needs --detect-language",
        )


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What came out, and what fetching it would take."""

    candidates: str
    """Folder of the result."""
    rates: FetchRates = field(default_factory=FetchRates)
    """What the estimate of the fetch assumes."""
    hosts: int = 20
    """Hosts shown, those with the most rows."""

    def __post_init__(self) -> None:
        require(self.hosts >= 0, f"--hosts must be at least 0, got {self.hosts}")
