"""What an engine says of one candidate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from diagonal_data.config import ShardsConfig
from diagonal_data.decode import StoredImage
from diagonal_data.rights import ImageRights
from diagonal_data.schema import Candidate, Reason
from diagonal_infra.shared import Shared

XMP_OPT_OUT = "XMP: "
"""How the detail of an opt-out inside the file begins: it is the picture's and not the host's."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An image to store, or a reason; exactly one of `image` and `reason` is set.

    The other fields are the row table's columns of the same names.
    """

    image: StoredImage | None = None
    reason: Reason | None = None
    detail: str | None = None
    http_status: int | None = None
    fetch_ms: int | None = None
    sha256: str | None = None
    robots: str = "not_asked"
    x_robots_tag: str | None = None
    tdm_reservation: str | None = None
    content_usage: str | None = None
    final_url: str | None = None
    attempts: int | None = None
    rights: ImageRights = field(default_factory=ImageRights)
    """What the file says of itself, also of one that is not stored."""

    def __post_init__(self) -> None:
        assert (self.image is None) != (self.reason is None), self


Deliver = Callable[[int, Outcome], None]
"""Takes the outcome of the candidate with that index, as soon as it is known."""


class Engine(Protocol):
    """A module that fetches and decodes; see engine_native and engine_img2dataset."""

    def fetch_and_decode(
        self,
        candidates: Sequence[Candidate],
        config: ShardsConfig,
        ledger: Shared,
        deliver: Deliver,
    ) -> None:
        """Deliver exactly one outcome per candidate, in any order; a bad web never raises.

        Args:
            candidates: of one unit.
            config: of the command.
            ledger: the run's `HostLedger`.
            deliver: is called from one thread, this or another; all calls are over on return.
        """
        ...
