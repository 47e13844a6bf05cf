"""Batches on their way to the device, while the step before is still computed."""

import queue
import threading
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from diagonal_train.streaming.batch import Batch

DEPTH = 2
"""Batches on the device that no step has begun yet."""


def on_device(
    batches: Generator[Batch, None, None], device: torch.device
) -> Generator[Batch, None, None]:
    """The same batches on the device; close it to close `batches`.

    On CUDA a thread copies through pinned memory on a stream of its own.
    """
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)

    def move(batch: Batch) -> Batch:
        with torch.cuda.stream(copies):
            moved = batch.to(device)
        copies.synchronize()
        return moved

    for batch in read_ahead(batches, move):
        for value in vars(batch).values():
            if isinstance(value, Tensor):
                # It was made on the copying stream; its memory must outlive the step that reads it.
                value.record_stream(torch.cuda.current_stream(device))
        yield batch


def read_ahead(
    batches: Generator[Batch, None, None], move: Callable[[Batch], Batch]
) -> Generator[Batch, None, None]:
    """`move(batch)` for each, made up to DEPTH ahead in a thread; an error comes in its place."""
    ready: queue.Queue = queue.Queue(maxsize=DEPTH)
    ended = threading.Event()

    def put(item: object) -> None:
        while not ended.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for batch in batches:
                put((move(batch), None))
                if ended.is_set():
                    break
            put((None, None))
        except BaseException as error:
            put((None, error))
        finally:
            batches.close()

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        ended.set()
        thread.join()
