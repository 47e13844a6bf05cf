"""The hosts that tests make for themselves."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.network import Build, Host
from tests.slurm_cluster import wait_for

CONNECT = """
import socket, sys

try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
except OSError as error:
    sys.exit(type(error).__name__)
"""
MAKE_HOSTS = """
import signal
from tests.network import hosts

with hosts(["a", "b"]) as made:
    print(*(host.space.pid for host in made), flush=True)
    signal.pause()
"""


def connected(host: Host, listening: socket.socket, log: Path, seconds: float) -> str:
    """Why a connection from the host fails, or nothing."""
    log.unlink(missing_ok=True)
    address, port = listening.getsockname()
    words = [sys.executable, "-c", CONNECT, address, str(port), str(seconds)]
    host.start(words, log).wait(60)
    return log.read_text().strip()


def test_a_host_that_is_cut_off_gets_no_answer_until_it_is_back(
    network: Build, tmp_path: Path
) -> None:
    one, two = network("one", "two")
    with one.listen() as listening:
        assert connected(two, listening, tmp_path / "log", 30) == ""
        two.cut_off()
        assert connected(two, listening, tmp_path / "log", 0.5) == "TimeoutError"
        two.reconnect()
        assert connected(two, listening, tmp_path / "log", 30) == ""


def test_hosts_know_themselves_and_each_other_and_nothing_else(
    network: Build, tmp_path: Path
) -> None:
    one, two = network("one", "two")
    log = tmp_path / "log"
    one.start(["sh", "-c", "hostname; getent hosts two; ip route"], log).wait(60)
    name, other, *routes = log.read_text().splitlines()
    assert (name, other.split()) == ("one", [two.address, "two"])
    assert [route.split()[0] for route in routes] == ["10.77.0.0/24"]


def test_hosts_end_with_the_process_that_made_them(network: Build, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_HOSTS],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pids = process.stdout.readline().split()
        assert len(pids) == 2
        os.kill(process.pid, signal.SIGKILL)
    (tmp_path / "log").touch()
    wait_for(lambda: not any(runs(pid) for pid in pids), tmp_path / "log")


def runs(pid: str) -> bool:
    """Whether a process is there and has not ended; whose orphan it is, may let it lie."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
