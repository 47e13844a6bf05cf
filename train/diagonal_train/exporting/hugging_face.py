"""transformers' folder: `CLIPModel.from_pretrained(OUT)` and `AutoProcessor.from_pretrained(OUT)`.

    config.json, model.safetensors       the model
    preprocessor_config.json             shortest side to the model's size, centre, normalise
    vocab.json … tokenizer_config.json   tokenizer_files.py

CLIPModel holds CLIP's vision transformer and text transformer. The demo's image encoder is neither:
its export has code of its own beside it (modeling_diagonal_clip.py, patch_resnet.py), which
`AutoModel.from_pretrained(OUT, trust_remote_code=True)` runs. Other encoders are refused.
"""

from pathlib import Path
from typing import Any

from diagonal_infra.errors import UserError
from diagonal_infra.run_dir import to_json
from diagonal_train.encoders import image_encoder
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.exporting.open_clip import model_settings, save_weights, weights_of
from diagonal_train.exporting.rename import renamed
from diagonal_train.exporting.tokenizer_files import end_id, start_id, write_for_transformers
from diagonal_train.streaming.tokenize import ClipTokenizer

BICUBIC = 3
"""Pillow's number for it, which transformers keeps."""
MLP_RATIO = 4.0
"""open_clip's own where a configuration names none."""
HEAD_WIDTH = 64
"""The same."""
MODEL_KEYS = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_scale"}
IDLE_KEYS = {"patch_dropout"}
"""Without effect on a trained model."""
VISION_KEYS = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
OWN_CODE = ("exporting/modeling_diagonal_clip.py", "encoders/patch_resnet.py")
OWN_IMPORT = ("from diagonal_train.encoders.patch_resnet import", "from .patch_resnet import")
PACKAGE = Path(__file__).parent.parent


def write_hugging_face(folder: Path, loaded: LoadedModel) -> None:
    """Model, processor and, where CLIPModel cannot hold the image encoder, code.

    Raises:
        UserError: neither can hold the model.
    """
    check_held(loaded)
    (folder / "config.json").write_bytes(to_json(clip_config(loaded)))
    save_weights(folder / "model.safetensors", renamed(weights_of(loaded)))
    (folder / "preprocessor_config.json").write_bytes(to_json(preprocessor_config(loaded)))
    write_for_transformers(folder, loaded.config.text.context_length)
    if has_own_code(loaded):
        for source in OWN_CODE:
            code = (PACKAGE / source).read_text("utf-8").replace(*OWN_IMPORT)
            (folder / Path(source).name).write_text(code, "utf-8")


def has_own_code(loaded: LoadedModel) -> bool:
    """Whether it has the demo's image encoder, for which transformers has no code."""
    return loaded.config.name is None and loaded.config.vision.timm_name == image_encoder.NAME


def check_held(loaded: LoadedModel) -> None:
    """Whether the format can hold the model.

    Raises:
        UserError: it cannot; the message names what is in the way and the other formats.
    """
    settings = model_settings(loaded.config)
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    wrong = [*(settings.keys() - MODEL_KEYS), *(text.keys() - TEXT_KEYS)]
    if not has_own_code(loaded):
        wrong += [*(vision.keys() - VISION_KEYS - IDLE_KEYS)]
        wrong += ["layers of a ResNet"] if isinstance(vision.get("layers"), list) else []
    if not isinstance(loaded.tokenizer, ClipTokenizer):
        wrong.append("another tokenizer")
    if getattr(loaded.model.clip, "logit_bias", None) is not None:
        wrong.append("logit_bias")
    if wrong:
        raise UserError(
            f"transformers' CLIPModel cannot hold this model (it has {', '.join(sorted(wrong))}); "
            "use --to open_clip or --to onnx"
        )


def clip_config(loaded: LoadedModel) -> dict[str, Any]:
    """config.json: a CLIPConfig's fields."""
    settings = model_settings(loaded.config)
    own = has_own_code(loaded)
    name = "DiagonalClipModel" if own else "CLIPModel"
    code = f"{Path(OWN_CODE[0]).stem}.{name}"
    auto_map = dict.fromkeys(("AutoModel", "AutoModelForZeroShotImageClassification"), code)
    activation = "quick_gelu" if settings.get("quick_gelu", False) else "gelu"
    shared = {"projection_dim": settings["embed_dim"]}
    return {
        "architectures": [name],
        **({"auto_map": auto_map} if own else {}),
        "model_type": "clip",
        **shared,
        "logit_scale_init_value": loaded.model.logit_scale.item(),
        "text_config": shared | _text_config(settings["text_cfg"], activation),
        "vision_config": shared | _vision_config(settings["vision_cfg"], activation),
        "dtype": "float32",
    }


def _text_config(text: dict[str, Any], activation: str) -> dict[str, Any]:
    return {
        "model_type": "clip_text_model",
        "hidden_act": activation,
        "vocab_size": text["vocab_size"],
        "max_position_embeddings": text["context_length"],
        "num_attention_heads": text["heads"],
        **_transformer(text),
        "bos_token_id": start_id(),
        # With 2, which old configurations have, the largest id is looked for instead.
        "eos_token_id": end_id(),
        "pad_token_id": end_id(),
    }


def _vision_config(vision: dict[str, Any], activation: str) -> dict[str, Any]:
    shared = {"model_type": "clip_vision_model", "image_size": vision["image_size"]}
    if "timm_model_name" in vision:
        return shared
    return {
        **shared,
        "hidden_act": activation,
        "patch_size": vision["patch_size"],
        "num_attention_heads": vision["width"] // vision.get("head_width", HEAD_WIDTH),
        **_transformer(vision),
    }


def _transformer(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": part["width"],
        "intermediate_size": int(part["width"] * part.get("mlp_ratio", MLP_RATIO)),
        "num_hidden_layers": part["layers"],
    }


def preprocessor_config(loaded: LoadedModel) -> dict[str, Any]:
    """preprocessor_config.json: a CLIPImageProcessor's fields."""
    size = loaded.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": BICUBIC,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(loaded.mean),
        "image_std": list(loaded.std),
    }
