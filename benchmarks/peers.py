"""Packages that only a peer needs, or that it needs in other versions, in a folder of their own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def peer_packages(folder: Path, names: Sequence[str]) -> Path:
    """The folder with these packages and none that they depend on; installed if it is not there."""
    folder = folder.resolve()
    if not folder.is_dir():
        aside = folder.with_suffix(".partial")
        # Without this project's settings, which leave out what the peer alone imports.
        words = ["uv", "--no-config", "pip", "install", "--quiet", "--no-deps"]
        words += ["--python", sys.executable, "--target", str(aside), *names]
        subprocess.run([sys.executable, "-m", *words], check=True)
        aside.rename(folder)
    return folder
