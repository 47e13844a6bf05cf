"""Joining a Ray cluster that somebody else started."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from diagonal_infra import ray_cluster
from diagonal_infra.errors import UserError


def test_a_cluster_that_does_not_answer_is_not_waited_for_without_end(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_SECONDS", 0.0)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with (
        pytest.raises(UserError, match=r"no Ray cluster answers at 127.*RAY_ADDRESS \(--address"),
        ray_cluster.start(1),
    ):
        pass


def test_whoever_listens_at_an_address_is_asked_by_ray_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ray_cluster.require_answer(f"127.0.0.1:{listener.getsockname()[1]}")
        connection, (host, _) = listener.accept()
        connection.close()
    assert host == "127.0.0.1"
    # What is no address Ray finds by itself.
    ray_cluster.require_answer("auto")


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_that_refuses_the_token_says_so(free_port: Callable[[], int]) -> None:
    port, own = free_port(), {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    join = "from diagonal_infra import ray_cluster as r\nwith r.start(1): pass"
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        ray = str(Path(sys.executable).with_name("ray"))
        words = [ray, "start", "--head", "--block", f"--port={port}", f"--temp-dir={folder}"]
        more = ["--num-cpus=1", "--include-dashboard=false", f"--ray-client-server-port={port + 1}"]
        head = subprocess.Popen(
            [*words, *more],
            env=os.environ | own | {"RAY_AUTH_TOKEN": "a" * 64},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            done = subprocess.run(
                [sys.executable, "-c", join],
                env=os.environ
                | own
                | {"RAY_AUTH_TOKEN": "b" * 64, "RAY_ADDRESS": f"127.0.0.1:{port}"},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            head.terminate()
            head.wait()
    assert f"UserError: the Ray cluster at 127.0.0.1:{port} refuses us" in done.stderr
    assert "RAY_AUTH_TOKEN, which must be those of the cluster" in done.stderr
