from collections.abc import Generator

import pytest
import torch

from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.device import DEPTH, on_device, read_ahead


def batch_of(number: int) -> Batch:
    return Batch(
        images=torch.full((1, 3, 2, 2), number, dtype=torch.uint8),
        tokens=torch.zeros(1, 2, dtype=torch.int64),
        uids=[str(number)],
        noise=torch.zeros(1, 32),
    )


def test_batches_read_ahead_come_in_order_and_end() -> None:
    batches = (batch_of(number) for number in range(20))
    found = [batch.uids for batch in read_ahead(batches, lambda batch: batch)]
    assert found == [[str(number)] for number in range(20)]


def test_an_error_comes_in_its_place() -> None:
    def failing() -> Generator[Batch, None, None]:
        yield batch_of(0)
        raise ValueError("disk on fire")

    found = read_ahead(failing(), lambda batch: batch)
    assert next(found).uids == ["0"]
    with pytest.raises(ValueError, match="disk on fire"):
        next(found)


def test_closing_early_closes_the_source() -> None:
    made: list[int] = []
    closed: list[bool] = []

    def endless() -> Generator[Batch, None, None]:
        try:
            while True:
                made.append(len(made))
                yield batch_of(len(made))
        finally:
            closed.append(True)

    found = read_ahead(endless(), lambda batch: batch)
    next(found)
    found.close()
    assert closed == [True]
    assert len(made) <= DEPTH + 3


def test_on_a_cpu_nothing_is_moved() -> None:
    first = batch_of(1)
    batches = (batch for batch in [first])
    assert next(on_device(batches, torch.device("cpu"))) is first
