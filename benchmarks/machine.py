"""The machine a figure was measured on, and the name of its result file."""

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LEGAL_NOISE = re.compile(r"\((?:r|tm|c)\)|@.*$|\b(?:cpu|processor|with .*)\b", re.IGNORECASE)
SLUG_WORDS = 4


def cpu_model() -> str:
    """The processor's name, where Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def hardware() -> str:
    """Processor, cores and memory in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def cpu_slug(model: str) -> str:
    """The model in lower case with hyphens: `Intel(R) Xeon(R) Processor` is `intel-xeon`."""
    words = re.findall(r"[a-z0-9]+", LEGAL_NOISE.sub(" ", model).lower())
    return "-".join(words[:SLUG_WORDS]) or "unknown"


def result_stem(name: str) -> str:
    """NAME_<cpu>_<yyyy-mm>, of this machine and month."""
    return f"{name}_{cpu_slug(cpu_model())}_{datetime.datetime.now(datetime.UTC):%Y-%m}"


def today() -> str:
    """The date in UTC, as YYYY-MM-DD."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Python's version and those of the installed ones of `packages`."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
