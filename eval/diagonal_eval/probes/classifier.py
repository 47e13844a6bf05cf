"""An image encoder and a linear head that starts as the zero-shot classifier.

    pictures ─ encode_image ─ normalise ─ head: logit scale × classifier rows ─ logits

Everything stays in evaluation mode while it learns, but for dropout: statistics of batch norm are
those of pretraining (a small batch has none worth keeping), and the line between two sets of
weights stays a line of the same functions.

Shape suffixes: B samples, C classes, D embedding width.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diagonal_eval.embed import Encoder
from diagonal_eval.zeroshot import Floats

Weights = Mapping[str, Tensor]


class ImageClassifier(nn.Module):
    """A copy of the encoder's model with a head; parameters that no logit depends on are frozen."""

    def __init__(self, encoder: Encoder, classifier_CD: Floats) -> None:
        super().__init__()
        self.model: Any = copy.deepcopy(encoder.model)
        rows_CD = torch.from_numpy(classifier_CD).to(encoder.device)
        self.head_CD = nn.Parameter(encoder.logit_scale * rows_CD)
        size = encoder.image_size
        self._freeze_unused(torch.zeros(1, 3, size, size, device=encoder.device))
        self.eval()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits B×C of normalised images."""
        features_BD = self.model.encode_image(images_BCHW).float()
        return F.normalize(features_BD, dim=-1) @ self.head_CD.T

    def train(self, mode: bool = True) -> "ImageClassifier":
        """Turn dropout on or off, and nothing else."""
        super().train(False)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.train(mode)
        return self

    def weights(self) -> dict[str, Tensor]:
        """A copy of all that is trained."""
        return {name: weight.detach().clone() for name, weight in self._trained()}

    def load(self, weights: Weights) -> None:
        """Take these weights; they are copied."""
        with torch.no_grad():
            for name, weight in self._trained():
                weight.copy_(weights[name])

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self.named_parameters() if weight.requires_grad]

    def _freeze_unused(self, images_BCHW: Tensor) -> None:
        parameters = [weight for weight in self.parameters() if weight.requires_grad]
        with torch.enable_grad():
            logits = self(images_BCHW).sum()
            found = torch.autograd.grad(logits, parameters, allow_unused=True)
        for weight, gradient in zip(parameters, found, strict=True):
            weight.requires_grad_(gradient is not None)


def interpolated(zero_shot: Weights, tuned: Weights, alpha: float) -> Weights:
    """(1 - alpha) of the one and alpha of the other; at the ends exactly one of them."""
    if alpha in (0, 1):
        return tuned if alpha else zero_shot
    return {name: torch.lerp(zero_shot[name], tuned[name], alpha) for name in zero_shot}
