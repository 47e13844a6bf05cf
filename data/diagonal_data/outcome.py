"""What an engine says of one candidate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from diagonal_data.config import ShardsConfig
from diagonal_data.decode import StoredImage
from diagonal_data.schema import Candidate, Reason


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An image to store, or a reason; exactly one of `image` and `reason` is set."""

    image: StoredImage | None = None
    reason: Reason | None = None
    detail: str | None = None
    http_status: int | None = None
    fetch_ms: int | None = None
    sha256: str | None = None
    robots: str = "not_asked"

    def __post_init__(self) -> None:
        assert (self.image is None) != (self.reason is None), self


class Engine(Protocol):
    """A module that fetches and decodes; see engine_native and engine_img2dataset."""

    def fetch_and_decode(
        self, candidates: Sequence[Candidate], config: ShardsConfig
    ) -> list[Outcome]:
        """One outcome per candidate, in order; a bad web never raises."""
        ...
