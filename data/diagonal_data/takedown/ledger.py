"""DATASET/takedowns.jsonl: who took what down when and why, without the content.

    {"id": "20260131T120000-5f3a", "time", "action": "takedown", "by", "reason",
     "salt", "selectors": {"host": {"given", "unknown", "salted_sha256": […]}}, "rows", "samples",
     "previous"}
    {"id", "time", "action": "compact", "by", "shards", "rows", "samples", "failed", "previous"}

A selector stands there as SHA-256 of the entry's salt, its kind and itself: who knows the address
can prove that it was asked for, and nobody can read it. `previous` is the SHA-256 of the line
before, so that a line that is changed or removed later shows. The file is replaced whole.
"""

import datetime
import getpass
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from diagonal_infra import storage
from diagonal_infra.errors import UserError

WAIT_SECONDS = 300.0
POLL_SECONDS = 0.1
MAX_HASHES = 10_000
"""More selectors of one kind are told by their number only."""


def ledger_path(dataset: str) -> str:
    """`DATASET/takedowns.jsonl`."""
    return storage.join(dataset, "takedowns.jsonl")


def folder_of(dataset: str) -> str:
    """`DATASET/takedowns`: the lock of those who take down, and what a compaction has begun."""
    return storage.join(dataset, "takedowns")


@contextmanager
def turn(dataset: str) -> Iterator[None]:
    """One takedown at a time; others wait for it. A build of the dataset may be running.

    Raises:
        UserError: the dataset cannot be written to, or another takes too long.
    """
    folder = folder_of(dataset)
    storage.check_writable(folder)
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(storage.sole_writer(folder))
                break
            except UserError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
        yield


def new_id() -> str:
    """Names a request: when, and a few random digits."""
    return f"{_now():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def signer(by: str) -> str:
    """Who signs: as given, else the user."""
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def salted(kind: str, values: list[Any], salt: str) -> list[str]:
    """What the log shows of selectors."""
    return [hashlib.sha256(f"{salt}\n{kind}\n{value}".encode()).hexdigest() for value in values]


def append(dataset: str, entry: dict[str, Any]) -> None:
    """Add a line with its time; the caller has its turn."""
    path = ledger_path(dataset)
    before = storage.read_bytes(path) if storage.exists(path) else b""
    last = before.rstrip(b"\n").rpartition(b"\n")[2]
    entry = {"id": new_id(), "time": _now().isoformat(timespec="seconds")} | entry
    entry["previous"] = hashlib.sha256(last).hexdigest() if last else ""
    line = json.dumps(entry, ensure_ascii=False).encode()
    storage.write_bytes(path, before + line + b"\n")


def read(dataset: str) -> list[dict[str, Any]]:
    """All entries, the oldest first.

    Raises:
        UserError: a line was changed or removed after it was written.
    """
    path = ledger_path(dataset)
    if not storage.exists(path):
        return []
    entries, last = [], b""
    for number, line in enumerate(storage.read_bytes(path).splitlines(), start=1):
        entry = json.loads(line)
        if entry["previous"] != (hashlib.sha256(last).hexdigest() if last else ""):
            raise UserError(f"{path}, line {number}: the line before is not what it was")
        entries.append(entry)
        last = line
    return entries


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
