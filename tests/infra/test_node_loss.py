"""Ray nodes that are lost in mid-run cost no unit, and are noticed soon."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOTICED_SECONDS = 20.0


@pytest.mark.ray
def test_lost_nodes_are_noticed_and_their_units_run_elsewhere(tmp_path: Path) -> None:
    # A process of its own, with its own folder and addresses: other tests run Ray beside it.
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("node_loss.py")), str(tmp_path)],
            env=os.environ | {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    loss = json.loads((tmp_path / "loss.json").read_text())
    # All that were made: placed at random, one in three would be.
    assert loss["shared_at_home"] == 5
    assert loss["pairs"] == [[number, number] for number in range(6)]
    assert loss["tries_of_lost_units"] == [2, 2]
    assert loss["noticed_seconds"] < NOTICED_SECONDS
