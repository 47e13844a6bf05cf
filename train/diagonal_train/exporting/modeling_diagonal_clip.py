"""A CLIP of transformers whose image encoder is a small residual network.

An export carries a copy of this file and of the network's, which `AutoModel.from_pretrained(OUT,
trust_remote_code=True)` runs. It needs torch and transformers alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPPreTrainedModel

from diagonal_train.encoders.patch_resnet import PatchResNet


class DiagonalImageEncoder(PatchResNet):
    """The network with the output that CLIPModel expects of its image encoder."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:  # pyright: ignore[reportIncompatibleMethodOverride]  # transformers' name and output
        """Features B×F as `pooler_output`."""
        features_BF: Any = super().forward(pixel_values)
        return BaseModelOutputWithPooling(pooler_output=features_BF)


class DiagonalClipModel(CLIPModel):
    """CLIPModel with that encoder: its methods, its configuration."""

    def __init__(self, config: CLIPConfig) -> None:
        # CLIPModel's own would build a vision transformer first.
        CLIPPreTrainedModel.__init__(self, config)
        text_config: Any = config.text_config
        width: Any = config.projection_dim
        self.projection_dim = width
        self.text_embed_dim = text_config.hidden_size
        self.text_model = CLIPTextModel._from_config(text_config)
        self.vision_model: Any = DiagonalImageEncoder()
        self.vision_embed_dim = self.vision_model.num_features
        self.visual_projection = nn.Linear(self.vision_embed_dim, width, bias=False)
        self.text_projection = nn.Linear(self.text_embed_dim, width, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale_init_value))
        self.post_init()
