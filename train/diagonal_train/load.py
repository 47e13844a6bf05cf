"""A trained model out of a run folder."""

from dataclasses import dataclass

import torch

from diagonal_train import checkpoint
from diagonal_train.config.model import ModelConfig
from diagonal_train.models import DualEncoder, build_model, build_tokenizer
from diagonal_train.start import read_run_config
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
    run: str, step: int | None = None, device: torch.device | str = "cpu"
) -> LoadedModel:
    """The model of a run, from its newest complete checkpoint or that of `step` (0: untrained).

    Raises:
        UserError: no run at that path, or no such checkpoint.
    """
    config = read_run_config(run)
    found = checkpoint.find(run, step)
    model = build_model(config).eval()
    checkpoint.load_weights(found, model)
    return LoadedModel(
        model=model.to(device),
        tokenizer=build_tokenizer(config),
        config=config,
        step=found.step,
    )
