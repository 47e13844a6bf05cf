"""A trained model out of a run folder."""

from dataclasses import dataclass, field

import torch

from diagonal_infra.errors import UserError
from diagonal_train import checkpoint
from diagonal_train.config.model import ModelConfig
from diagonal_train.encoders.models import (
    DualEncoder,
    build_model,
    build_tokenizer,
)
from diagonal_train.encoders.published import build_pretrained
from diagonal_train.start import read_config, read_run_config
from diagonal_train.streaming.open_clip_pixels import Resize
from diagonal_train.streaming.tokenize import ClipTokenizer, Tokenizer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A trained model with all that evaluation needs to feed it."""

    model: DualEncoder
    """In evaluation mode."""
    tokenizer: ClipTokenizer | Tokenizer
    config: ModelConfig
    step: int
    """Optimizer steps behind these weights; 0 for the initial ones."""
    averaged: bool = False
    """Whether these are averaged over steps."""
    resize: Resize = field(default_factory=Resize)
    """How published numbers of the model were measured."""

    @property
    def image_size(self) -> int:
        """Pixels of a side of the input."""
        return self.config.image_size

    @property
    def mean(self) -> tuple[float, float, float]:
        """RGB mean that the input is normalised with."""
        return self.config.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """RGB deviation that the input is normalised with."""
        return self.config.std


def load_model(
    run: str,
    step: int | None = None,
    device: torch.device | str = "cpu",
    *,
    averaged: bool | None = None,
) -> LoadedModel:
    """The model of a run, from its newest complete checkpoint or that of `step` (0: untrained).

    Args:
        run: the run folder.
        step: of the checkpoint.
        device: where the model goes.
        averaged: whether to take the average of the weights (--ema-decay) in their place; None
            takes it if the run has one.

    Raises:
        UserError: no run at that path, no such checkpoint, or no averaged weights.
    """
    config = read_run_config(run)
    found = checkpoint.find(run, step)
    record = read_config(run)
    # Runs from before there was a choice have no such field.
    model = build_model(config, record.get("loss", "softmax")).eval()
    has_average = record.get("ema_decay") is not None
    if averaged and not has_average:
        raise UserError(f"run {run!r} has no averaged weights; train with --ema-decay 0.9999")
    use_average = has_average if averaged is None else averaged
    # The initial weights are their own average, and not kept twice.
    checkpoint.load_weights(found, model, averaged=use_average and found.step > 0)
    return LoadedModel(
        model=model.to(device),
        tokenizer=build_tokenizer(config),
        config=config,
        step=found.step,
        averaged=use_average,
    )


def load_pretrained(name: str, device: torch.device | str = "cpu") -> LoadedModel:
    """A model of open_clip's with its weights, as `build_pretrained` names them.

    Raises:
        UserError: open_clip has no such model or weights.
    """
    published = build_pretrained(name)
    return LoadedModel(
        model=published.model.to(device).eval(),
        tokenizer=published.tokenizer,
        config=published.config,
        step=0,
        resize=published.resize,
    )
