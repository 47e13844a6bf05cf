"""How well an order is shuffled, in numbers that a perfect shuffle has too."""

from dataclasses import dataclass

import numpy as np

from diagonal_train.streaming.index import SampleIndex
from diagonal_train.streaming.order import OrderPlan, positions_for_batch, samples_at

BATCHES = 32


@dataclass(frozen=True, kw_only=True)
class ShuffleQuality:
    """Means over some batches."""

    shards_per_batch: float
    """Shards that a global batch has samples of."""
    shards_if_perfect: float
    """The same if samples came in a random order."""
    neighbours: float
    """Correlation of the numbers of samples that follow each other; 0 for a perfect shuffle."""


def shuffle_quality(plan: OrderPlan, index: SampleIndex, first_batch: int = 0) -> ShuffleQuality:
    """Measured over the global batches from `first_batch` on; nothing is read."""
    lanes, numbers = range(plan.lanes), []
    for batch in range(first_batch, first_batch + BATCHES):
        numbers.append(samples_at(plan, positions_for_batch(plan, batch, lanes))[0])
    shards = [len(np.unique(index.shard[batch])) for batch in numbers]
    random = np.random.default_rng(0)
    perfect = [
        len(np.unique(index.shard[random.integers(len(index), size=len(batch))]))
        for batch in numbers
    ]
    stream = np.concatenate(numbers).astype(np.float64)
    varies = stream.std() > 0
    return ShuffleQuality(
        shards_per_batch=float(np.mean(shards)),
        shards_if_perfect=float(np.mean(perfect)),
        neighbours=float(np.corrcoef(stream[:-1], stream[1:])[0, 1]) if varies else 0.0,
    )
