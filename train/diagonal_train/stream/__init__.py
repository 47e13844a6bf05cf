"""The streaming loader: tar shards to batches whose order is a pure function of (seed, position).

    from diagonal_train.stream import StreamConfig, dataloader

    config = StreamConfig(data="out/dataset", filter="basic", global_batch_size=256)
    loader = dataloader(config, rank=0, world_size=1)
    for batch in loader:
        batch.images, batch.tokens, batch.uids

The whole state of a stream is the number of samples seen: `loader.state_dict()`. It can be loaded
with any number of ranks and workers that divides `config.lanes`.
"""

from diagonal_train.stream.batch import Batch, RawBatch
from diagonal_train.stream.config import StreamConfig
from diagonal_train.stream.loader import StreamLoader, batches, dataloader, raw_batches

__all__ = [
    "Batch",
    "RawBatch",
    "StreamConfig",
    "StreamLoader",
    "batches",
    "dataloader",
    "raw_batches",
]
