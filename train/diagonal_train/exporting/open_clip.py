"""open_clip's folder: `open_clip.create_model_and_transforms("local-dir:OUT")` loads it.

    open_clip_config.json           model_cfg, as in open_clip's model_configs, and preprocess_cfg
    open_clip_model.safetensors     weights under the names they have in training

Every model can be written so, since the encoders are open_clip's. The demo's image encoder is not
among timm's models until `diagonal_train.encoders.image_encoder.register()` is called.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from diagonal_infra.run_dir import to_json
from diagonal_train.config.model import ModelConfig
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.encoders.models import built_in_settings, open_clip_settings


def write_open_clip(folder: Path, loaded: LoadedModel) -> None:
    """Configuration and weights."""
    weights = weights_of(loaded)
    settings = model_settings(loaded.config)
    if "logit_bias" in weights:
        # Otherwise open_clip builds the model without one and refuses the weight.
        settings["init_logit_bias"] = weights["logit_bias"].item()
    record = {"model_cfg": settings, "preprocess_cfg": preprocessing(loaded)}
    (folder / "open_clip_config.json").write_bytes(to_json(record))
    save_weights(folder / "open_clip_model.safetensors", weights)


def model_settings(config: ModelConfig) -> dict[str, Any]:
    """The model in open_clip's terms."""
    if config.name is None:
        return open_clip_settings(config)
    return built_in_settings(config.name)


def weights_of(loaded: LoadedModel) -> dict[str, Tensor]:
    """The weights under open_clip's names."""
    return loaded.model.clip.state_dict()


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """A safetensors file that open_clip and transformers read."""
    # Convolutions have their colours innermost, and safetensors takes the usual order only.
    plain = {name: value.detach().contiguous() for name, value in weights.items()}
    save_file(plain, path, metadata={"format": "pt"})


def preprocessing(loaded: LoadedModel) -> dict[str, Any]:
    """From a picture to the model's input, in open_clip's terms."""
    return {
        "mean": list(loaded.mean),
        "std": list(loaded.std),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
