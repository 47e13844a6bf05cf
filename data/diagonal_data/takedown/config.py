"""Flags of the takedown commands.

python -m diagonal_data.takedown --dataset out/d --host example.org --by me --reason "asked"
python -m diagonal_data.takedown compact --dataset out/d
python -m diagonal_data.takedown list --dataset out/d
python -m diagonal_data.takedown status --dataset out/d
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from diagonal_infra.errors import require
from diagonal_infra.metrics_server import MetricsConfig

MAX_PHASH_DISTANCE = 16


@dataclass(frozen=True, kw_only=True)
class TakedownConfig:
    """What to take down."""

    dataset: str = "out/dataset"
    """Dataset folder."""
    uid: tuple[str, ...] = ()
    """Candidates by uid, 32 hex digits each."""
    url: tuple[str, ...] = ()
    """Pictures by URL, as candidates have it or as redirects led to it."""
    page: tuple[str, ...] = ()
    """All pictures of a page, by its URL."""
    host: tuple[str, ...] = ()
    """All pictures from a host, also by redirects."""
    subdomains: bool = False
    """Every --host, and every host of a list, names the hosts below it too."""
    sha256: tuple[str, ...] = ()
    """Pictures by the hash of their bytes as fetched, 64 hex digits each."""
    phash: tuple[str, ...] = ()
    """Pictures by perceptual hash, 16 hex digits each."""
    phash_distance: int = 0
    """Differing bits of 64 at which a perceptual hash still names a picture; for lists too."""
    list: str = ""
    """File with more: .csv or .parquet with columns named as these flags, or text, one a line."""
    list_of: Literal["auto", "uid", "url", "page", "host", "sha256", "phash"] = "auto"
    """What a text file's lines are; auto: told by their form, an address with :// as a url."""
    by: str = ""
    """Who signs; the user who runs the command if empty."""
    reason: str = ""
    """Why, for the log; name no content here."""
    dry_run: bool = False
    """Count what would go, and change nothing."""

    def __post_init__(self) -> None:
        require(
            0 <= self.phash_distance <= MAX_PHASH_DISTANCE,
            f"--phash-distance must be 0 to {MAX_PHASH_DISTANCE}, got {self.phash_distance}",
        )


@dataclass(frozen=True, kw_only=True)
class CompactConfig(MetricsConfig):
    """Which dataset to rewrite."""

    dataset: str = "out/dataset"
    """Dataset folder; no build may be running."""
    by: str = ""
    """Who signs; the user who runs the command if empty."""


@dataclass(frozen=True, kw_only=True)
class ListConfig:
    """Which tombstones to show."""

    dataset: str = "out/dataset"
    """Dataset folder."""
    json: bool = False
    """One JSON object a line instead of a table."""
    limit: int = 1000
    """Most tombstones shown; 0 for all."""


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """Which dataset to look at."""

    dataset: str = "out/dataset"
    """Dataset folder."""
    json: bool = False
    """One JSON object instead of a table."""


def add() -> TakedownConfig:
    """Name what goes: it is out for every reader when the command returns. The default."""
    return TakedownConfig()


def compact() -> CompactConfig:
    """Rewrite the touched shards without what was taken down."""
    return CompactConfig()


def list_tombstones() -> ListConfig:
    """What is taken down, by whom and why."""
    return ListConfig()


def status() -> StatusConfig:
    """How much is taken down, and how much of it is still in the files."""
    return StatusConfig()


TAKEDOWN: dict[str, Callable[[], Any]] = {
    "add": add,
    "compact": compact,
    "list": list_tombstones,
    "status": status,
}
