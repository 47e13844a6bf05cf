"""Parameters that are not trained: they get no gradient, and the optimizer does not know them.

Batch normalisation among them uses and keeps the statistics it has, also in training mode.
"""

import logging
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from diagonal_train.config.lock import LockConfig
from diagonal_train.encoders.layers import encoder_of, layers_of

logger = logging.getLogger(__name__)


def lock(model: nn.Module, config: LockConfig) -> None:
    """Lock the encoders that the configuration names; before the replica and the optimizer.

    Raises:
        UserError: groups are to be unlocked in an encoder without layers.
    """
    for name, parameter in model.named_parameters():
        if getattr(config, encoder_of(name) or "", False):
            parameter.requires_grad_(False)
    if config.image_unlocked_groups:
        _unlock_last(model, config.image_unlocked_groups)
    for name, module in model.named_modules():
        locked = getattr(config, encoder_of(f"{name}.") or "", False)
        if locked and isinstance(module, _BatchNorm) and not _is_trained(module):
            # Whoever calls model.train() later would otherwise unlock the statistics.
            module.register_forward_pre_hook(_keep_statistics)
    kept = [p.numel() for p in model.parameters() if not p.requires_grad]
    if kept:
        logger.debug("locked parameters=%d in tensors=%d", sum(kept), len(kept))


def _unlock_last(model: nn.Module, groups: int) -> None:
    layers = layers_of(model)
    for name, parameter in model.named_parameters():
        layer = layers[name]
        if layer is not None and layer.encoder == "image" and layer.below_last < groups:
            parameter.requires_grad_(True)


def _is_trained(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())


def _keep_statistics(module: nn.Module, _: Any) -> None:
    module.eval()
