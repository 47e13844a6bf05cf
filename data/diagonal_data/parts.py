"""A dataset built in parts: by several commands that share nothing but its folder.

    lock of the part ─────────────────────────────────────────────┐ shards 2, 10, 18, … of part 3/8
      lock of the dataset: plan ─┐ ─► build ─► lock of the dataset: manifest ─┐

Planning and the manifest belong to one command at a time, as ever; shards are built under the lock
of their part. Who has the dataset's lock and finds a part's lock free knows that nobody builds that
part and nobody will before the dataset's is given back. So neither a command without --part nor a
division into another number of parts builds what some part has in hand.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from diagonal_infra import storage
from diagonal_infra.errors import BusyError, UserError

PLANNING_SECONDS = 3600.0
"""How long others may have the dataset's lock: the first of them plans."""
LOOK_SECONDS = 3.0
"""How long a part's lock may be held by those who only look whether it is free."""
LOCK = re.compile(r"\.part-(\d+)-of-(\d+)\.lock")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of `count` parts; numbers begin with 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def lock(self) -> str:
        """The file in the dataset's folder that is locked while the part is built."""
        return f".part-{self.number:05d}-of-{self.count:05d}.lock"

    def takes(self, shard: str) -> bool:
        """Whether it builds that shard."""
        return int(shard) % self.count == self.number - 1


def parse_part(text: str) -> Part:
    """`3/8` is the third of eight.

    Raises:
        UserError: it is something else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--part is I/N with I from 1 to N, for instance 3/8, got {text!r}")
    return Part(number=number, count=count)


@contextmanager
def sole_builder(dataset: str, part: Part) -> Iterator[None]:
    """Nobody else builds this part for the block.

    Raises:
        UserError: somebody does, or nothing could keep them from it.
    """
    if not storage.has_locks(dataset):
        raise UserError(f"--part needs a shared folder or S3; {dataset!r} has no locks")
    with ExitStack() as stack:
        lock = storage.sole_writer(dataset, lock=part.lock, patience_seconds=LOOK_SECONDS)
        try:
            stack.enter_context(lock)
        except BusyError as error:
            raise UserError(f"part {part} of {dataset!r} is being built; wait for it") from error
        yield


@contextmanager
def turn(dataset: str, part: Part) -> Iterator[None]:
    """The dataset's lock for the block, in which the part plans or writes the manifest.

    Raises:
        UserError: parts of another division are being built, or somebody keeps the lock.
    """
    with storage.sole_writer(dataset, patience_seconds=PLANNING_SECONDS):
        require_no_parts(dataset, but_of=part.count)
        yield


def require_no_parts(dataset: str, *, but_of: int | None = None) -> None:
    """Under the dataset's lock: nobody builds a part of it, except of so many.

    Raises:
        UserError: somebody does.
    """
    for name in storage.list_files(dataset, ".lock"):
        found = LOCK.fullmatch(name)
        if found is None or int(found[2]) == but_of:
            continue
        try:
            with storage.sole_writer(dataset, lock=name):
                pass
        except BusyError as error:
            raise UserError(
                f"part {int(found[1])}/{int(found[2])} of {dataset!r} is being built; wait for it "
                "or end it first"
            ) from error
