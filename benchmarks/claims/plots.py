"""The charts of docs/results.md."""

from collections.abc import Mapping
from typing import Any


def charts(_record: Mapping[str, Any]) -> dict[str, str]:
    """SVG files by name."""
    return {}
