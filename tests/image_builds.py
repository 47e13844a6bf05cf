"""The data image really built, with Debian's buildah on a base that mmdebstrap makes.

No registry and no daemon: buildah keeps everything in a folder of the test's, and `--isolation
chroot` runs in containers too. Packages come from where pip and uv have them from on this machine.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
REQUIRED = "DIAGONAL_NEEDS_BUILDAH"
"""Set where a missing buildah is a failure and not a reason to skip."""
PROGRAMS = ("buildah", "mmdebstrap")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "ca-certificates,python3,python3-venv"
REVISION = "0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class Buildah:
    """buildah with its storage in one folder."""

    folder: Path

    def __call__(self, command: str, *words: str, check: bool = True) -> str:
        """What it printed; its errors are those of the test."""
        storage = ["--storage-driver", "vfs", "--root", str(self.folder / "root")]
        storage += ["--runroot", str(self.folder / "runroot")]
        line = ["buildah", *storage, command, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{line}: {done.stdout[-2000:]}{done.stderr}"
        return done.stdout

    def bud(self, *words: str) -> None:
        """A build from the repository, with this machine's packages and certificates."""
        pip, uv = self.folder / "pip.conf", self.folder / "uv.toml"
        index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
        index_for_pip, index_for_uv = "", ""
        if index:
            index_for_pip, index_for_uv = f"index-url = {index}", f'index-url = "{index}"'
        pip.write_text(f"[global]\ncert = {CERTIFICATES}\n{index_for_pip}\n")
        uv.write_text(f"native-tls = true\n{index_for_uv}\n")
        secrets = [f"--secret=id={path.name},src={path}" for path in (pip, uv)]
        mount = f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"
        file = str(REPOSITORY / "infra" / "images" / "Dockerfile")
        self("bud", "--isolation=chroot", "--file", file, *secrets, mount, *words, str(REPOSITORY))


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of the data image."""

    buildah: Buildah
    name: str
    root: Path
    """Its files."""

    def run(self, *words: str, volumes: tuple[str, ...] = ()) -> str:
        """What the command printed, run as a cluster would: by tini, as the image's user."""
        mounts = [f"--volume={volume}" for volume in volumes]
        own = ("--isolation=chroot", *mounts, self.name, "--")
        return self.buildah("run", *own, "tini", "--", *words)


@pytest.fixture
def data_image() -> Iterator[Container]:
    """A container of the data image; skips where it cannot be built."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if (missing or os.getuid() != 0) and REQUIRED not in os.environ:
        pytest.skip(f"needs root and Debian's {' and '.join(PROGRAMS)}; {REQUIRED}=1 insists")
    folder = Path(tempfile.mkdtemp(prefix="diagonal-images-"))
    buildah = Buildah(folder=folder)
    try:
        base = folder / "base.tar"
        made = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", "bookworm"]
        subprocess.run([*made, str(base)], check=True)
        buildah("from", "--name=base", "scratch")
        buildah("add", "base", str(base), "/")
        buildah("commit", "--rm", "base", "base")
        words = ["--build-arg=BASE=localhost/base", f"--build-arg=REVISION={REVISION}"]
        buildah.bud("--target=data", "--tag=diagonal-data", *words)
        buildah("from", "--name=data", "localhost/diagonal-data")
        root = Path(buildah("mount", "data").strip())
        yield Container(buildah=buildah, name="data", root=root)
    finally:
        buildah("umount", "--all", check=False)
        shutil.rmtree(folder)
