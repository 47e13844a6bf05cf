"""The loader's configuration; the integrator's version replaces this one."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How samples are read."""

    window_cache: str | None = None
    window_cache_gb: float = 20.0
    timeout_seconds: float = 30.0
    deadline_seconds: float = 300.0
