"""A file of 30 samples, and what reading it must give."""

from pathlib import Path

import numpy as np

from diagonal_train.streaming.config import LoaderConfig
from diagonal_train.streaming.reader import ShardReader
from diagonal_train.streaming.window import Window

SAMPLE = 10_000
CONFIG = LoaderConfig(timeout_seconds=5, deadline_seconds=20)
OFFSETS = np.arange(30) * SAMPLE
WINDOW = Window(shard=0, begin=0, end=30 * SAMPLE)


def lengths_of(offsets: np.ndarray) -> np.ndarray:
    """All samples are of one length."""
    return np.full(len(offsets), SAMPLE)


def read_all(reader: ShardReader, window: Window, offsets: np.ndarray) -> list[bytes]:
    """All samples, the last first."""
    reader.expect(window, offsets, lengths_of(offsets))
    return [reader.read(window, offset, SAMPLE) for offset in offsets[::-1].tolist()]


def samples_of(content: bytes, offsets: np.ndarray) -> list[bytes]:
    """What `read_all` must give."""
    return [content[offset : offset + SAMPLE] for offset in offsets[::-1].tolist()]


def open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
