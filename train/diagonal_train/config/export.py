"""What `python -m diagonal_train.export` is asked for."""

from dataclasses import dataclass
from typing import Literal

ExportFormat = Literal["hf", "open_clip", "onnx"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A run folder in, a folder that other libraries load out."""

    checkpoint: str
    """Run folder."""
    to: ExportFormat
    """transformers' CLIPModel and CLIPProcessor, open_clip's local folder, or ONNX graphs."""
    output: str
    """Folder to write, on a local disk; an earlier export there is replaced when the new one is
    whole."""
    step: int | None = None
    """Optimizer step whose checkpoint is taken; None is the newest complete one."""
