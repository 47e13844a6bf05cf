"""The page of results."""

from collections.abc import Mapping
from typing import Any


def as_markdown(record: Mapping[str, Any]) -> str:
    """The page."""
    return f"# The CLIP paper's claims on the demo's drawings\n\n{record['machine']}\n"
