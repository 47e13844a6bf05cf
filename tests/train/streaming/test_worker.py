import signal
import subprocess
import sys
from pathlib import Path

import pytest

UNCLOSED = """
import os, signal, sys
from multiprocessing import active_children
from diagonal_train.stream import StreamConfig, dataloader

config = StreamConfig(data=sys.argv[1], global_batch_size=8, lanes=8, window=4, num_workers=2,
                      image_size=8, index_cache="")
batches = iter(dataloader(config, rank=0, world_size=1))
before = next(batches)
if sys.argv[2] == "other":
    pids = " ".join(str(worker.pid) for worker in active_children())
    assert os.system(f"kill -{sys.argv[3]} {pids}") == 0
    for _ in range(10):
        next(batches)
print("read")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.timeout(200)
def test_others_signals_are_left_to_the_training_process(dataset: Path, number: int) -> None:
    words = [sys.executable, "-c", UNCLOSED, str(dataset), "other", str(int(number))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr


@pytest.mark.timeout(200)
def test_a_program_ends_although_its_stream_was_not_closed(dataset: Path) -> None:
    words = [sys.executable, "-c", UNCLOSED, str(dataset), "nobody", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
