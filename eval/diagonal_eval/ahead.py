"""Batches that are read and prepared in threads while the model works on the ones before.

    items ─ reader: the next batch ─ `prepare` in threads ─ at most AHEAD batches ─ the model

The first batches are smaller, so that the model need not wait for a whole one before it begins.
The codecs release the interpreter lock, so threads suffice. What is waited for is counted: the
share of it in the whole time says whether data or the model is the slower.
"""

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

AHEAD = 2
"""Batches that are made or ready while one is worked on; each holds its pictures in memory."""
MAX_THREADS = 8
FIRST_SHARE = 8
"""The first batch is an eighth of a whole one; each next is twice as large."""
Item = TypeVar("Item")
Prepared = TypeVar("Prepared")


class Ahead(Generic[Item, Prepared]):
    """Lists of prepared items, in order; goes through the items once, in a thread of its own."""

    def __init__(
        self, items: Iterable[Item], prepare: Callable[[Item], Prepared], batch_size: int
    ) -> None:
        self._remaining = iter(items)
        self._prepare = prepare
        self._batch_size = batch_size
        self._next_size = max(1, batch_size // FIRST_SHARE)
        self.waited_seconds = 0.0
        """In which there was no batch to work on."""

    def __iter__(self) -> Iterator[list[Prepared]]:
        threads = min(MAX_THREADS, os.cpu_count() or 1)
        coming: deque[Future[list[Prepared]]] = deque()
        with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as reader:
            take = partial(self._take, pool)
            coming.extend(reader.submit(take) for _ in range(AHEAD))
            try:
                while batch := self._wait_for(coming.popleft()):
                    coming.append(reader.submit(take))
                    yield batch
            finally:
                for future in coming:
                    future.cancel()

    def _take(self, pool: ThreadPoolExecutor) -> list[Prepared]:
        size, self._next_size = self._next_size, min(2 * self._next_size, self._batch_size)
        return list(pool.map(self._prepare, itertools.islice(self._remaining, size)))

    def _wait_for(self, future: Future[list[Prepared]]) -> list[Prepared]:
        started = time.perf_counter()
        batch = future.result()
        self.waited_seconds += time.perf_counter() - started
        return batch
