"""Small networks on this machine for tests: hosts that can be cut off, or lose their power.

    the test ── starts commands on ──► hosts ── eth0 ──► switch

A host has namespaces of its own for network, processes, mounts and its name: its own addresses,
ports, process ids and /dev/shm. Other files are everybody's, as on a shared disk. Hosts reach each
other through the switch and nothing else; nothing of the machine's own network is changed.

A host is there as long as its first process, and that ends with the process of the tests, however
that ends: nothing is left behind.
"""

import ctypes
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REQUIRED = "DIAGONAL_NEEDS_NETNS"
"""Set where hosts that cannot be are a failure and not a reason to skip."""
PROGRAMS = ("ip", "nsenter", "setpriv", "unshare")
ALONE = ("unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc")
TRIAL = (
    "ip link add name switch type bridge && ip link add name port type veth peer name eth0"
    " && mount -t tmpfs none /dev/shm"
)
# Bash, because the first process of a namespace must wait for those that lost their parents.
FIRST = "echo up; sleep infinity & wait"
SUBNET = "10.77.0"
NET_NAMESPACE = 0x40000000
"""CLONE_NEWNET of Linux."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Namespaces: the process whose end ends them and all processes in them."""

    process: subprocess.Popen[bytes]
    pid: int
    """Of the first process in them, as the machine knows it."""

    def in_network(self, script: str) -> None:
        """Run a shell script, of the machine's files and processes, in this network."""
        subprocess.run(["nsenter", "--net", f"--target={self.pid}", "sh", "-c", script], check=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Host:
    """A machine of the network; `port` is its place in the switch."""

    name: str
    address: str
    port: str
    space: Space
    switch: Space
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A command on the host, which ends with it at the latest; what it says goes to `log`."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["nsenter", "--all", f"--target={self.space.pid}", *words],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._started.append(process)
        return process

    def listen(self) -> socket.socket:
        """A socket of this process that listens at the host's address."""

        def listening() -> socket.socket:
            with Path(f"/proc/{self.space.pid}/ns/net").open() as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), NET_NAMESPACE):
                    raise OSError(ctypes.get_errno(), "setns")
            return socket.create_server((self.address, 0))

        # A thread is in a network by itself; this one ends there.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(listening).result()

    def cut_off(self) -> None:
        """From now on nothing reaches the host or comes from it; no connection is told."""
        self.switch.in_network(f"ip link set {self.port} down")

    def reconnect(self) -> None:
        """Undo the cut."""
        self.switch.in_network(f"ip link set {self.port} up")

    def end(self) -> None:
        """End every process of the host; those they speak with are told by the network."""
        self.space.process.kill()
        for process in (self.space.process, *self._started):
            process.wait()


Build = Callable[..., list[Host]]


@pytest.fixture
def network() -> Iterator[Build]:
    """`network("a", "b")` → hosts of these names; skips where they cannot be, unless required."""
    reason = what_is_missing()
    if reason and os.environ.get(REQUIRED):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with ExitStack() as stack:
        yield lambda *names: stack.enter_context(hosts(names))


def what_is_missing() -> str:
    """Why there can be no hosts here, or nothing."""
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing:
        return f"no {', '.join(missing)}; install iproute2 and util-linux"
    # Root in a container may not be allowed this.
    tried = subprocess.run([*ALONE, "sh", "-c", TRIAL], capture_output=True, text=True, check=False)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[list[Host]]:
    """A switch and a host of each name in it."""
    addresses = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, 1)}
    with ExitStack() as stack:
        switch = new_space(stack)
        switch.in_network("ip link add name switch type bridge && ip link set switch up")
        made = [
            Host(name=n, address=a, port=f"to-{n}", space=new_space(stack), switch=switch)
            for n, a in addresses.items()
        ]
        for host in made:
            stack.callback(host.end)
            plug_in(host)
            name_hosts(host, addresses)
        yield made


def new_space(stack: ExitStack) -> Space:
    """It is ended by the stack at the latest."""
    words = ["setpriv", "--pdeathsig=KILL", *ALONE, "bash", "-c", FIRST]
    process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return Space(process=process, pid=int(pid))


def plug_in(host: Host) -> None:
    """A cable from its eth0 to the switch."""
    own, other = f"eth0 netns {host.space.pid}", f"{host.port} netns {host.switch.pid}"
    words = f"ip link add {own} type veth peer name {other}".split()
    subprocess.run(words, check=True)
    host.switch.in_network(f"ip link set {host.port} master switch up")
    host.space.in_network(
        f"ip addr add {host.address}/24 dev eth0 && ip link set lo up && ip link set eth0 up"
    )


def name_hosts(host: Host, addresses: Mapping[str, str]) -> None:
    """Tell a host its name and everybody's, and give it memory to share of its own."""
    known = "".join(f"{at} {name}\n" for name, at in addresses.items())
    script = (
        f"hostname {host.name} && mount -t tmpfs none /dev/shm"
        f" && printf '127.0.0.1 localhost\n%s' {shlex.quote(known)} >/dev/shm/hosts"
        " && mount --bind /dev/shm/hosts /etc/hosts"
    )
    enter = ["nsenter", "--all", f"--target={host.space.pid}"]
    subprocess.run([*enter, "sh", "-c", script], check=True)
