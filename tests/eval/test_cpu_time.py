import subprocess
import sys

from diagonal_eval.cpu_time import cpu_of_descendants

BURN = "import time\nwhile time.process_time() < 1.0: pass"
DAEMON = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for it, as below a Ray daemon
subprocess.Popen([sys.executable, "-c", {BURN!r}]).wait()
"""


def test_a_child_that_nobody_waits_for_is_counted() -> None:
    with cpu_of_descendants() as cpu:
        subprocess.run([sys.executable, "-c", DAEMON], check=True)
    # Up to half a second is between two looks.
    assert 0.4 <= cpu.seconds <= 2.5


def test_what_ran_before_is_not_counted() -> None:
    subprocess.run([sys.executable, "-c", BURN], check=True)
    with cpu_of_descendants() as cpu:
        pass
    assert cpu.seconds == 0.0
