"""What to change when a step does not fit into memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diagonal_infra.errors import DiagonalError
from diagonal_train.config.train import TrainConfig


@contextmanager
def explained(config: TrainConfig, samples: int) -> Iterator[None]:
    """Turn running out of memory into advice; `samples` is this rank's share of the batch.

    Raises:
        DiagonalError: the block ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # CUDA has a class for it; the CPU's allocator raises a plain RuntimeError.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        raise DiagonalError(
            f"out of memory: {_advice(config, samples)} ({_first_line(error)})"
        ) from (error)


def _advice(config: TrainConfig, samples: int) -> str:
    at_a_time = min(config.micro_batch_size or samples, samples)
    ways = []
    if at_a_time > 1:
        ways.append(f"--micro-batch-size {at_a_time // 2}")
    if config.activation_checkpointing != "full":
        ways.append("--activation-checkpointing full")
    if config.precision == "fp32":
        ways.append("--precision bf16")
    ways.append("more ranks")
    return (
        f"this rank embeds {at_a_time} of its {samples} samples at a time; "
        f"go on with {' or '.join(ways)}"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
