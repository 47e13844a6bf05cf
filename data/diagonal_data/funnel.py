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
            reasons=dict(sorted((Counter(self.reasons) + Counter(other.reasons)).items())),
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


EMPTY = Funnel(input=0, kept=0)
