"""A real Slurm on this machine for tests: a controller and two nodes of two cores each.

All of it lives in a PID namespace of its own: the end of its first process ends every daemon, job
and rank, and a job that looks for processes (`ray stop` does) finds those of this cluster only.
The package is slurm-wlm of Debian or Ubuntu; nothing is installed as a service.
"""

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "DIAGONAL_NEEDS_SLURM"
"""Set where a missing Slurm is a failure and not a reason to skip."""
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged", "unshare")
ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Runs what follows in a PID namespace of its own."""
NODES = ("n1", "n2")
START_SECONDS = 30.0
WAIT_SECONDS = 120.0
CONFIG = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,bf_interval=2
MailProg=/bin/true
FirstJobId={controller}
ReturnToService=2
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n1} CPUs=2 RealMemory=1000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={n2} CPUs=2 RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=60
"""


@dataclass(frozen=True, kw_only=True)
class SlurmCluster:
    """A running cluster and how to speak to it.

    Ids of jobs, from which ports are made, are others than those of a second cluster beside it.
    """

    environment: dict[str, str]

    def ask(self, *words: str) -> str:
        """What one of Slurm's commands says."""
        done = subprocess.run(
            words,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()

    def job(self, job_id: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        words = self.ask("scontrol", "show", "job", "--oneliner", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """The cluster; skips where it cannot be, unless it is required."""
    reason = what_is_missing()
    if reason and os.environ.get(REQUIRED):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    # Its sockets need a short path.
    with (
        tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder,
        running(Path(folder)) as cluster,
    ):
        yield cluster


def what_is_missing() -> str:
    """Why there can be no Slurm here, or nothing."""
    missing = [each for each in PROGRAMS if shutil.which(each, path=search_path()) is None]
    if missing:
        return f"no {', '.join(missing)}; install slurm-wlm and munge"
    # Root in a container may not be allowed this.
    alone = subprocess.run([*ALONE, "true"], capture_output=True, check=False)
    return "only root may start Slurm's nodes" if os.geteuid() or alone.returncode else ""


@pytest.fixture
def slurm_here(
    slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """The cluster, for commands that this process starts; its queue is empty afterwards."""
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    slurm_cluster.ask("scancel", "--user=root")


def search_path() -> str:
    """Where programs are; Debian's users do not look into sbin."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@contextmanager
def running(folder: Path) -> Iterator[SlurmCluster]:
    """Start the daemons and wait until both nodes are idle; end them behind the block."""
    ports = dict(zip(("controller", *NODES), free_ports(3), strict=True))
    (folder / "state").mkdir()
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, **ports))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    cluster = SlurmCluster(
        environment={"SLURM_CONF": str(folder / "slurm.conf"), "PATH": search_path()}
    )
    script = folder / "start.sh"
    script.write_text(start_script(folder))
    # Bash, because the first process of a namespace must wait for those that lost their parents.
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            [*ALONE, "bash", str(script)],
            env=os.environ | cluster.environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_idle(cluster, folder)
        yield cluster
    finally:
        process.kill()
        process.wait()


def start_script(folder: Path) -> str:
    """What the namespace's first process does."""
    munge = {name: f"{folder}/munge.{name}" for name in ("socket", "pid", "log", "seed")}
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key"]
        + [f"--{name if name == 'socket' else f'{name}-file'}={at}" for name, at in munge.items()],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", "-N", node] for node in NODES),
    ]
    socket_there = f"until [ -S {munge['socket']} ]; do sleep 0.05; done"
    lines = [f"{shlex.join(each)} &" for each in daemons]
    return "\n".join([lines[0], socket_there, *lines[1:], "wait"]) + "\n"


def wait_until_idle(cluster: SlurmCluster, folder: Path) -> None:
    """Return when both nodes can take a job."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            states = cluster.ask("sinfo", "--noheader", "--Node", "--format=%T").split()
        except subprocess.CalledProcessError:
            states = []
        if states == ["idle"] * len(NODES):
            return
        logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
        assert time.monotonic() < deadline, logs
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(condition: Callable[[], Any], said: Path) -> Any:
    """What the condition gives once that is something; a failure shows what was said."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)
    return found
