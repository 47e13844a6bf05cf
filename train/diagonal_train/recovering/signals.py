"""Requests to stop: what schedulers send before they end a process.

    SIGTERM     torchrun, Kubernetes, Slurm at its limit
    SIGUSR1     Slurm's notice before the limit (--signal=USR1@120), a request by hand

    preempted   Ray's notice that a node goes: the run is saved and goes on until it is ended

A handler only sets an event. The loop's steps agree on it over all ranks, so all save behind the
same step; a request during an evaluation or a save waits for the next step, and further ones change
nothing: no save is broken off.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Requests:
    """What a run has been asked for, by signals to this rank and notices to all."""

    def __init__(self, preempted: Callable[[], bool]) -> None:
        self.stop = threading.Event()
        self._preempted = preempted
        self._noticed = False

    def save_now(self) -> bool:
        """Whether a notice came since the last call; called behind each step, on all ranks."""
        before, self._noticed = self._noticed, self._preempted()
        return self._noticed and not before


@contextmanager
def stop_on_signal(event: threading.Event) -> Iterator[None]:
    """Have the signals set the event while the block runs; no change outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
