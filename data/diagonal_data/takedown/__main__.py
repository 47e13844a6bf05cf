"""Take samples down: out for every reader at once, out of the files with `compact`.

    python -m diagonal_data.takedown --dataset out/d --host example.org --by me --reason "asked"
    python -m diagonal_data.takedown --dataset out/d --list requests.csv --subdomains
    python -m diagonal_data.takedown compact --dataset out/d
    python -m diagonal_data.takedown list --dataset out/d
    python -m diagonal_data.takedown status --dataset out/d

A takedown may be done while the dataset is built or trained on, and several at a time; `compact`
waits for no build and is refused while one runs. docs/takedown.md says what stays and what goes.
"""

import json
import sys
from typing import Any

from rich.table import Table

from diagonal_data.manifest import read_manifest
from diagonal_data.takedown import ledger
from diagonal_data.takedown.compact import compact
from diagonal_data.takedown.config import (
    TAKEDOWN,
    CompactConfig,
    ListConfig,
    StatusConfig,
    TakedownConfig,
)
from diagonal_data.takedown.requests import Found, not_compacted, take_down
from diagonal_data.tombstones import KINDS, read_tombstones
from diagonal_infra import log
from diagonal_infra.cli import run_command


def main(config: TakedownConfig | CompactConfig | ListConfig | StatusConfig) -> None:
    """Do it, then say what was done."""
    if isinstance(config, TakedownConfig):
        found = take_down(config)
        would = " would be" if config.dry_run else ""
        log.STDOUT.print(_found_table(config.dataset, found))
        log.STDOUT.print(f"{len(found.uids):,} rows{would} taken down, {found.samples:,} samples")
    elif isinstance(config, CompactConfig):
        log.STDOUT.print(f"{compact(config):,} shards rewritten in {config.dataset}")
    elif isinstance(config, ListConfig):
        show_list(config)
    else:
        show_status(config)


def show_list(config: ListConfig) -> None:
    """Tombstones by kind and value, with who asked for them, the newest last."""
    read_manifest(config.dataset)
    entries = {entry["id"]: entry for entry in ledger.read(config.dataset)}
    stones = [
        {name: value for name, value in stone.items() if value is not None}
        for stone in read_tombstones(config.dataset).to_pylist()
    ]
    shown = stones[-config.limit :] if config.limit else stones
    for stone in shown:
        entry = entries.get(stone.get("request"), {})
        stone |= {key: entry[key] for key in ("time", "by", "reason") if key in entry}
    if config.json:
        sys.stdout.writelines(json.dumps(stone, ensure_ascii=False) + "\n" for stone in shown)
        return
    table = Table(title=f"{config.dataset}: {len(stones):,} tombstones", title_justify="left")
    for name in ("kind", "value", "time", "by", "reason"):
        table.add_column(name, overflow="fold")
    for stone in shown:
        kind = next(kind for kind in KINDS if kind in stone)
        value = f"{stone[kind]:016x}" if kind == "phash" else str(stone[kind])
        table.add_row(kind, value, *(stone.get(key, "") for key in ("time", "by", "reason")))
    log.STDOUT.print(table)


def show_status(config: StatusConfig) -> None:
    """Counts of tombstones, and of what is still in the files."""
    read_manifest(config.dataset)
    stones = read_tombstones(config.dataset)
    left = dict(not_compacted(config.dataset, stones))
    entries = ledger.read(config.dataset)
    counts: dict[str, Any] = {
        "tombstones": {kind: len(stones[kind].drop_null()) for kind in KINDS},
        "requests": sum(entry["action"] == "takedown" for entry in entries),
        "not_compacted": {
            "rows": sum(rows.num_rows for rows in left.values()),
            "samples": sum(rows["status"].to_pylist().count("success") for rows in left.values()),
            "shards": list(left),
        },
    }
    if config.json:
        sys.stdout.write(json.dumps(counts) + "\n")
        return
    table = Table(title=f"{config.dataset}: taken down", title_justify="left", show_header=False)
    for kind, count in counts["tombstones"].items():
        table.add_row(f"tombstones by {kind}", f"{count:,}")
    table.add_row("requests in the log", f"{counts['requests']:,}")
    waiting = counts["not_compacted"]
    table.add_row("rows not compacted yet", f"{waiting['rows']:,}")
    table.add_row("samples not compacted yet", f"{waiting['samples']:,}")
    table.add_row("shards to compact", f"{len(left):,}")
    log.STDOUT.print(table)


def _found_table(dataset: str, found: Found) -> Table:
    table = Table(title=f"{dataset}: takedown", title_justify="left")
    for name in ("by", "given", "not in the dataset"):
        table.add_column(name, justify="left" if name == "by" else "right")
    for kind, count in found.given.items():
        table.add_row(kind, f"{count:,}", f"{found.unknown[kind]:,}")
    return table


if __name__ == "__main__":
    run_command(main, TAKEDOWN, description=__doc__, default="add")
