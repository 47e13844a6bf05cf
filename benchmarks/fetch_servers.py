"""Starts and ends the web servers of the benchmark; both listen on loopback only."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fetch_web
import measure
from diagonal_infra.errors import DiagonalError, UserError

NGINX_PLACES = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin"
START_ATTEMPTS = 100
CONF = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 16384;
events {{ worker_connections 4096; multi_accept on; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ image/jpeg jpg; image/png png; image/webp webp; }}
  open_file_cache max=20000 inactive=1h; open_file_cache_valid 1h;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
  scgi_temp_path tmp;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers: its process, its port, and what it may be called."""

    pid: int
    port: int
    hosts: tuple[str, ...]
    """HOST:PORT of every host it serves."""


@contextlib.contextmanager
def nginx(root: Path) -> Iterator[Server]:
    """One nginx process that serves the files under `root` on 127.0.0.1.

    Raises:
        UserError: nginx is not installed.
        DiagonalError: it ended before it answered.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{NGINX_PLACES}")
    if program is None:
        raise UserError("no nginx found; install it with `apt-get install nginx-light`")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="diagonal-nginx-") as folder:
        conf = Path(folder) / "nginx.conf"
        conf.write_text(CONF.format(port=port, root=root.resolve()))
        command = [program, "-p", folder, "-e", "stderr", "-c", str(conf)]
        with _ended(subprocess.Popen(command, preexec_fn=measure.die_with_parent)) as process:
            _wait_until_open(process, port)
            yield Server(pid=process.pid, port=port, hosts=(f"127.0.0.1:{port}",))


@contextlib.contextmanager
def slow_web(root: Path, hosts: int) -> Iterator[Server]:
    """The slow web of fetch_web.py over the files of `root`."""
    port = free_port()
    command = [sys.executable, fetch_web.__file__, str(root), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--hosts", str(hosts)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with _ended(process):
        assert process.stdout is not None, "asked for a pipe"
        if process.stdout.readline() != b"ready\n":
            raise DiagonalError(f"the slow web on port {port} ended before it answered")
        names = tuple(f"{fetch_web.host_name(i)}:{port}" for i in range(hosts))
        yield Server(pid=process.pid, port=port, hosts=names)


def answer_times(server: Server) -> list[float]:
    """When the slow web answered for files since this was last asked, in seconds of its clock."""
    with urllib.request.urlopen(f"http://{server.hosts[0]}/answered") as answer:
        return json.loads(answer.read())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with process:
        try:
            yield process
        finally:
            process.terminate()


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(START_ATTEMPTS):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise DiagonalError(f"nginx on port {port} ended or did not answer; see the lines above")
