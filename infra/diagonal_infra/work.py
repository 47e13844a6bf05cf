"""A stage whose flags were accepted, and where it is to run: what launchers of clusters take."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from diagonal_infra.profile import Profile
from diagonal_infra.run_dir import RESULTS
from diagonal_infra.shape import Shape


@dataclass(frozen=True, kw_only=True)
class Work:
    """One launch."""

    target: str
    stage: tuple[str, ...]
    """Its recipe and flags."""
    profile: Profile
    shape: Shape
    resolved: Mapping[str, Any]
    """Its configuration."""
    max_restarts: int = 0
    """How often failed ranks are started anew without leaving the queue."""

    @property
    def workdir(self) -> str:
        """What relative paths start from."""
        return os.path.abspath(self.profile.workdir or ".")  # noqa: PTH100  # need not exist here

    @property
    def results(self) -> str:
        """Where they go: a URL, or an absolute path."""
        place = next(str(self.resolved[name]) for name in RESULTS if name in self.resolved)
        return place if "://" in place else os.path.normpath(Path(self.workdir) / place)

    @property
    def name(self) -> str:
        """`train-b32-1f3a9c`: what a person recognises, and a digest of where the results go.

        The same for the same stage and results, so that a second job is noticed.
        """
        # Several score sets of one dataset may be made at once.
        part = str(self.resolved.get("name", "")) if self.target == "scores" else ""
        digest = hashlib.sha256("\0".join((self.target, self.results, part)).encode())
        leaf = re.sub(r"[^\w.-]", "_", PurePath(self.results).name)[:40]
        return "-".join((self.target, leaf, digest.hexdigest()[:6]))
