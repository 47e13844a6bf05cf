"""How a decoding process starts: one thread, and deaf to signals that are meant for training.

Slurm and shells send SIGTERM to all processes of a job, and the training process saves with its
workers still there. Its own SIGTERM is obeyed: with it the interpreter, as it ends, takes down the
workers of streams that nobody closed, and waits for them.
"""

import os
import signal
import threading

import torch


def start_worker(worker: int) -> None:
    """A DataLoader calls it in each worker, by its number."""
    del worker
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_told, args=[os.getppid()], daemon=True).start()


def _end_when_told(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
