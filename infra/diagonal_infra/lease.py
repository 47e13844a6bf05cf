"""A lease on an S3 object: one holder at a time, by conditional PUT, without a lock server.

    take       PUT If-None-Match: *
    renew      PUT If-Match: the ETag this holder wrote last, from a thread
    take over  PUT If-Match: the ETag found, once it is older than its holder asked for
    release    PUT If-Match, asking for 0 seconds

The age is Date minus Last-Modified of one answer, so only the store's clock matters. Who finds a
lease waits until it is renewed, and is refused, or runs out, because its holder was killed. A
holder that slept past its lease is interrupted when it wakes.
"""

import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from diagonal_infra.errors import BusyError, StorageError
from diagonal_infra.object_store import raised_errors, storage_errors

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
LOST_SIGNAL = signal.SIGRTMIN + 3
"""Wakes a holder that lost its lease. Not SIGINT, which a process started in a shell's background
ignores, nor SIGUSR1, by which schedulers announce the end of a job."""
RENEWALS = 3
"""Per lease; as many failures in a row lose it."""
LOOKS = 20
"""Per lease, of who waits for it."""
REFUSED = frozenset({404, 409, 412})
"""HTTP status of a PUT whose condition does not hold; 404 if the object is gone, 409 in a race."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The lease object as it was found."""

    owner: str
    etag: str
    seconds_left: float


@contextmanager
def sole_holder(filesystem: Any, path: str, *, folder: str) -> Iterator[None]:
    """Hold the lease object `path` for the block; `folder` is what messages call it.

    Raises:
        BusyError: another process holds it.
        StorageError: the store failed, or another took the lease over in the meantime.
    """
    lease = _Lease(filesystem, path, folder)
    with storage_errors(f"lock {folder}"):
        lease.take()
    renewing = threading.Thread(target=lease.keep_renewed, daemon=True)
    with _interruptible():
        renewing.start()
        try:
            yield
        finally:
            lease.ended.set()
            renewing.join()
            lease.release()


@contextmanager
def _interruptible() -> Iterator[None]:
    """`LOST_SIGNAL` is a KeyboardInterrupt in the block, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(LOST_SIGNAL, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(LOST_SIGNAL, before)


class _Lease:
    """One holder's side of the lease."""

    def __init__(self, filesystem: Any, path: str, folder: str) -> None:
        self._filesystem, self._folder, self._seconds = filesystem, folder, LEASE_SECONDS
        self._bucket, self._key, _ = filesystem.split_path(path)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._etag = ""
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._lost = False
        self.ended = threading.Event()

    def take(self) -> None:
        if self._put(self._seconds, IfNoneMatch="*"):
            return
        first = held = self._found()
        while held and first and held.etag == first.etag and held.seconds_left > 0:
            logger.info("lease held by=%s waiting_seconds=%.0f", held.owner, held.seconds_left)
            time.sleep(self._seconds / LOOKS)
            held = self._found()
        if held and held.seconds_left <= 0 and self._put(self._seconds, IfMatch=held.etag):
            return
        owner = held.owner if held else "unknown"
        raise BusyError(
            f"another run ({owner}) is writing to {self._folder!r}; "
            "wait for it or choose another folder"
        )

    def keep_renewed(self) -> None:
        while not self.ended.wait(self._seconds / RENEWALS):
            try:
                self._lost = not self._put(self._seconds, IfMatch=self._etag)
            except raised_errors() as error:
                # A later round may succeed; if another run was quicker, that round shows it.
                logger.warning("lease not renewed folder=%s error=%s", self._folder, error)
            if self._lost:
                if self._in_main_thread:
                    signal.pthread_kill(threading.main_thread().ident or 0, LOST_SIGNAL)
                return

    def release(self) -> None:
        if self._lost:
            raise StorageError(
                f"another run took over {self._folder}: this one did not renew its lease in "
                f"{self._seconds:.0f} s; run the same command again to finish"
            )
        try:
            self._put(0, IfMatch=self._etag)
        except raised_errors() as error:
            logger.warning("lease not released folder=%s error=%s", self._folder, error)

    def _put(self, seconds: float, **condition: str) -> bool:
        """Whether the lease is ours now."""
        try:
            answer = self._filesystem.call_s3(
                "put_object",
                Bucket=self._bucket,
                Key=self._key,
                # Never the same twice: equal content has equal ETags.
                Body=uuid.uuid4().bytes,
                Metadata={"owner": self._owner, "seconds": str(seconds)},
                **condition,
            )
        except OSError as error:
            if _status(error) not in REFUSED:
                raise
            # Also when an answer was lost and the request, sent again, met our own object.
            held = self._found()
            if held is None or held.owner != self._owner:
                return False
            self._etag = held.etag
        else:
            self._etag = answer["ETag"]
        return True

    def _found(self) -> _Held | None:
        try:
            head = self._filesystem.call_s3("head_object", Bucket=self._bucket, Key=self._key)
        except FileNotFoundError:
            return None
        facts, headers = head["Metadata"], head["ResponseMetadata"]["HTTPHeaders"]
        age = (parsedate_to_datetime(headers["date"]) - head["LastModified"]).total_seconds()
        left = float(facts.get("seconds", LEASE_SECONDS)) - age
        return _Held(owner=facts.get("owner", "unknown"), etag=head["ETag"], seconds_left=left)


def _status(error: OSError) -> int | None:
    """The HTTP status behind an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None)
    return response["ResponseMetadata"]["HTTPStatusCode"] if response else None
