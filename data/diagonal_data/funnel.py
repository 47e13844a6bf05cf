"""Counts by reason that always add up to the input."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """How many came in, how many were kept, and why the others were not.

    Invariant, asserted: `input == kept + sum(reasons)`.
    """

    input: int
    kept: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.input == self.kept + sum(self.reasons.values()), self

    def merge(self, other: "Funnel") -> "Funnel":
        """Both inputs together."""
        return Funnel(
            input=self.input + other.input,
            kept=self.kept + other.kept,
            reasons=_sum(self.reasons, other.reasons),
        )

    def without(self, reasons: Mapping[str, int]) -> "Funnel":
        """Less the rows that were counted under `reasons` elsewhere, and are counted here anew.

        A count may fall below 0 here; merged with the funnel of the earlier rows it does not.
        """
        return Funnel(
            input=self.input - sum(reasons.values()),
            kept=self.kept,
            reasons=_sum(self.reasons, {reason: -count for reason, count in reasons.items()}),
        )

    def as_json(self) -> dict[str, object]:
        """`{"input": n, "kept": n, "reasons": {reason: n}}`."""
        return {"input": self.input, "kept": self.kept, "reasons": dict(self.reasons)}

    def as_table(self, title: str) -> Table:
        """For the terminal: reasons by falling count, then what was kept."""
        table = Table(title=title, title_justify="left")
        table.add_column("reason")
        table.add_column("rows", justify="right")
        table.add_column("share", justify="right")
        for reason, count in sorted(self.reasons.items(), key=lambda item: -item[1]):
            table.add_row(reason, f"{count:,}", self._share(count))
        table.add_section()
        table.add_row("kept", f"{self.kept:,}", self._share(self.kept), style="bold")
        table.add_row("input", f"{self.input:,}", self._share(self.input))
        return table

    def _share(self, count: int) -> str:
        return f"{count / self.input:.1%}" if self.input else "–"


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    total = Counter(first)
    total.update(second)
    return {reason: count for reason, count in sorted(total.items()) if count}


EMPTY = Funnel(input=0, kept=0)
