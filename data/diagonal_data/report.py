"""What became of a dataset's candidates: by reason, and by host.

    python -m diagonal_data.report funnel --dataset out/d
    python -m diagonal_data.report funnel --dataset out/d --json | jq .reasons

Reads finished shards only, so it may be asked while the dataset is being built.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.table import Table

from diagonal_data.config import ReportConfig
from diagonal_data.funnel import Funnel
from diagonal_data.manifest import ShardInfo, finished_shards, funnel_of, passes_of, read_manifest
from diagonal_data.recipes import REPORT
from diagonal_data.rows import host_of, stream_rows
from diagonal_data.schema import Reason
from diagonal_infra import log
from diagonal_infra.cli import run_command

COLUMNS = ("url", "reason")


@dataclass(kw_only=True)
class HostFunnel:
    """What became of one host's candidates; an empty host stands for what is no URL."""

    host: str
    rows: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def top_reason(self) -> str | None:
        """Why most of the failed ones failed; the first by name of equals."""
        return min(self.reasons, key=lambda r: (-self.reasons[r], r), default=None)

    @property
    def opt_outs(self) -> int:
        """Rows whose server opted out."""
        return self.reasons[Reason.OPTED_OUT]


def main(config: ReportConfig) -> None:
    """Print the tables, or one JSON object."""
    read_manifest(config.dataset)
    shards = finished_shards(config.dataset)
    funnel = funnel_of(shards.values())
    hosts = host_funnels(config.dataset, shards)
    if config.json:
        report = {"dataset": config.dataset, "shards": len(shards), **funnel.as_json()}
        report |= {"num_hosts": len(hosts), "hosts": [*map(_as_json, hosts[: config.hosts])]}
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
        return
    log.STDOUT.print(funnel.as_table(f"{config.dataset}: candidates by outcome"))
    if hosts and config.hosts:
        log.STDOUT.print(host_table(hosts, config.hosts, funnel))


def host_funnels(dataset: str, shards: Mapping[str, ShardInfo]) -> list[HostFunnel]:
    """Every host with its counts, those with the most rows first; one shard in memory at a time."""
    counts: Counter[tuple[str, str | None]] = Counter()
    for _, table in stream_rows(dataset, COLUMNS, passes_of(shards.values())):
        hosts = map(host_of, table["url"].to_pylist())
        counts.update(zip(hosts, table["reason"].to_pylist(), strict=True))
    by_host: dict[str, HostFunnel] = {}
    for (host, reason), count in counts.items():
        found = by_host.setdefault(host, HostFunnel(host=host))
        found.rows += count
        if reason is None:
            found.kept += count
        else:
            found.reasons[reason] += count
    return sorted(by_host.values(), key=lambda found: (-found.rows, found.host))


def host_table(hosts: list[HostFunnel], most: int, funnel: Funnel) -> Table:
    """For the terminal: the first hosts, and how many more there are."""
    shown = f"{min(most, len(hosts)):,} of {len(hosts):,} hosts"
    table = Table(title=f"{shown}, {funnel.input:,} rows", title_justify="left")
    table.add_column("host")
    for name in ("rows", "kept", "share kept"):
        table.add_column(name, justify="right")
    table.add_column("most frequent reason")
    table.add_column("opt-outs", justify="right")
    for found in hosts[:most]:
        table.add_row(
            found.host or "(no URL)",
            f"{found.rows:,}",
            f"{found.kept:,}",
            f"{found.kept / found.rows:.1%}",
            found.top_reason or "",
            f"{found.opt_outs:,}",
        )
    return table


def _as_json(found: HostFunnel) -> dict[str, object]:
    return {
        "host": found.host,
        "rows": found.rows,
        "kept": found.kept,
        "share": found.kept / found.rows,
        "top_reason": found.top_reason,
        "opt_outs": found.opt_outs,
        "reasons": dict(sorted(found.reasons.items())),
    }


if __name__ == "__main__":
    run_command(main, REPORT, description=__doc__)
