"""The command as a user types it."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.eval.explore.worlds import World

COMMAND = [sys.executable, "-m", "diagonal_eval.explore"]


@pytest.fixture
def server(world: World) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "--dataset", world.dataset, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_it_says_where_it_is_and_ctrl_c_ends_it_quietly(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    address = server.stdout.readline().split("/  ")[0]
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{address}/sql?where=true", timeout=20) as answer:
        assert b"figure" in answer.read()
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in said


def test_the_report_is_written_and_trouble_is_one_line(world: World, tmp_path: Path) -> None:
    output = tmp_path / "out.html"
    call = [*COMMAND, "report", "--dataset", world.dataset, "--output", str(output)]
    assert subprocess.run(call, capture_output=True, check=False).returncode == 0
    assert output.read_text().startswith("<!doctype html>")
    wrong = [*COMMAND, "--dataset", str(tmp_path / "none")]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_torch_is_loaded_for_a_model_only() -> None:
    code = "import sys, diagonal_eval.explore.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
