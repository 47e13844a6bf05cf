import subprocess
import sys

PROGRAM = """
import threading
from pathlib import Path
from diagonal_data import heap

def resident():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

heap.share_one_arena()
held = []
thread = threading.Thread(target=lambda: held.extend(b"x" * 100_000 for _ in range(2_000)))
thread.start()
thread.join()
keep = b"x" * 100_000
full = resident()
del held[:]
heap.give_back()
print(full, resident())
"""


def test_what_a_thread_has_freed_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    full, after = map(int, done.stdout.split())
    assert full > 200_000
    assert after < full - 150_000
