"""README.md of an export: what the run's own records say, and how the folder is loaded.

The same run and step give the same bytes. Nothing is claimed that is not recorded: a value that no
record has is left out.
"""

from pathlib import Path
from typing import Any

from diagonal_train.config.export import ExportFormat
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.exporting.card_text import (
    fields_table,
    front_matter,
    headline_rows,
    model_index,
)
from diagonal_train.exporting.hugging_face import has_own_code
from diagonal_train.exporting.records import Records, shown_address

LIBRARY = {"hf": "transformers", "open_clip": "open_clip", "onnx": "onnx"}
PIXELS = {
    "hf": 'With `backend="pil"` in the call of AutoProcessor, square pictures become exactly the '
    "pixels of evaluation; torchvision rounds a few of them otherwise.",
    "open_clip": "Square pictures become exactly the pixels of evaluation.",
    "onnx": "Evaluation takes the largest centred square of a picture and resizes it by Pillow's "
    "bicubic filter.",
}
HUGGING_FACE = """\
```python
from transformers import AutoProcessor, CLIPModel

model = CLIPModel.from_pretrained("OUT")
processor = AutoProcessor.from_pretrained("OUT")
inputs = processor(text=["a red circle"], images=image, return_tensors="pt",
                   padding=True, truncation=True)
logits = model(**inputs).logits_per_image
```
"""
OWN_CODE = """
transformers has no code for its image encoder: `modeling_diagonal_clip.py` and `patch_resnet.py`
beside the weights are run. They need torch and transformers alone.
"""
OPEN_CLIP = """\
```python
import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:OUT")
model.eval()
tokenizer = open_clip.get_tokenizer("local-dir:OUT")
logits, _ = model.get_logits(preprocess(image)[None], tokenizer(["a red circle"]))
```
"""
OWN_ENCODER = """
Its image encoder is Diagonal's own. Before the call above, make it known to timm:

```python
from diagonal_train.encoders import image_encoder

image_encoder.register()
```
"""
ONNX = """\
`image.onnx` takes `pixel_values` (B×3×S×S float32) and gives `image_embeddings`; `text.onnx` takes
`input_ids` (B×T int64) and gives `text_embeddings`; B is free and all embeddings have length 1.
`preprocess.json` has the sizes, mean, deviation and `logit_scale`:
logits = logit_scale · image_embeddings · text_embeddingsᵀ.

```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("OUT/tokenizer.json")
ids = np.array([encoding.ids for encoding in tokenizer.encode_batch(["a red circle"])])
texts = onnxruntime.InferenceSession("OUT/text.onnx").run(None, {"input_ids": ids})[0]
```
"""


def write_model_card(folder: Path, loaded: LoadedModel, records: Records, to: ExportFormat) -> None:
    """README.md."""
    (folder / "README.md").write_text(model_card(loaded, records, to), "utf-8")


def model_card(loaded: LoadedModel, records: Records, to: ExportFormat) -> str:
    """The card's text."""
    sections = [
        _front_matter(records, to),
        f"# {records.name}, step {records.step:,}\n\n"
        "A dual encoder of pictures and texts, trained contrastively (CLIP) with Diagonal.\n",
        f"## Use\n\n{_usage(loaded, to)}\n{PIXELS[to]}\n",
        f"## Model\n\n{fields_table(_model_rows(loaded))}",
        f"## Training\n\n{fields_table(_training_rows(records))}",
        _evaluation(records.results),
        "## Licence\n\nNone was declared for these weights or for their training data.\n",
    ]
    return "\n".join(section for section in sections if section)


def _front_matter(records: Records, to: ExportFormat) -> str:
    fields = {
        "library_name": LIBRARY[to],
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip"],
    }
    measured = model_index(records.name, records.results)
    return front_matter({**fields, "model-index": measured} if measured else fields)


def _usage(loaded: LoadedModel, to: ExportFormat) -> str:
    own = has_own_code(loaded)
    if to == "open_clip":
        return OPEN_CLIP + (OWN_ENCODER if own else "")
    if to == "onnx":
        return ONNX
    if not own:
        return HUGGING_FACE
    call = 'CLIPModel.from_pretrained("OUT"', 'AutoModel.from_pretrained("OUT"'
    code = HUGGING_FACE.replace(f"{call[0]})", f"{call[1]}, trust_remote_code=True)")
    return code.replace("AutoProcessor, CLIPModel", "AutoModel, AutoProcessor") + OWN_CODE


def _model_rows(loaded: LoadedModel) -> list[tuple[str, Any]]:
    config = loaded.config
    vision, text = config.vision, config.text
    image_encoder, text_encoder = config.name, config.name
    if config.name is None:
        image_encoder = vision.timm_name or (
            f"vision transformer, patches of {vision.patch_size}, width {vision.width}, "
            f"{vision.layers} layers"
        )
        text_encoder = f"causal transformer, width {text.width}, {text.layers} layers"
    parameters = sum(value.numel() for value in loaded.model.parameters())
    return [
        ("image encoder", image_encoder),
        ("text encoder", text_encoder),
        ("embedding width", config.embed_dim),
        ("image size", f"{loaded.image_size} × {loaded.image_size} pixels"),
        ("context length", f"{text.context_length} tokens"),
        ("parameters", f"{parameters:,}"),
        ("logit scale", f"{loaded.model.logit_scale.exp().item():.3f}"),
        ("weights", "averaged over steps" if loaded.averaged else None),
    ]


def _training_rows(records: Records) -> list[tuple[str, Any]]:
    config, summary, metrics = records.config, records.summary, records.metrics
    optimizer = config.get("optimizer", {})
    batch_size = config.get("global_batch_size")
    return [
        ("data", shown_address(config.get("data", ""))),
        ("filter", config.get("filter")),
        ("samples seen", None if batch_size is None else f"{records.step * batch_size:,}"),
        ("steps", f"{records.step:,}"),
        ("global batch size", batch_size),
        ("objective", config.get("loss")),
        ("loss", _loss(metrics, records.step)),
        ("peak learning rate", optimizer.get("lr")),
        ("warm-up steps", optimizer.get("warmup_steps")),
        ("weight decay", optimizer.get("weight_decay")),
        ("precision", config.get("precision")),
        ("seed", config.get("seed")),
        ("device", summary.get("device")),
        ("ranks", summary.get("world_size")),
        ("code revision", records.code_revision),
    ]


def _loss(metrics: dict[str, Any], step: int) -> str | None:
    if "loss" not in metrics:
        return None
    where = "" if metrics["step"] == step else f" (at step {metrics['step']:,})"
    return f"{metrics['loss']:.4f}{where}"


def _evaluation(results: dict[str, Any]) -> str:
    if not results:
        return ""
    rows = [
        (f"zero-shot, {style}", _accuracy(task))
        for style, task in results.get("zeroshot", {}).items()
        if task.get("held_out_style")
    ]
    mean = results.get("mean_held_out", {})
    if "top1" in mean:
        rows.append(("zero-shot, mean of held-out styles", _accuracy(mean)))
    rows = rows or headline_rows(results)
    text = "Zero-shot classification of what was not trained on; 95 % intervals in brackets.\n\n"
    return f"## Evaluation\n\n{text}{fields_table(rows)}"


def _accuracy(record: dict[str, Any]) -> str:
    low, high = record["ci95"]
    n, chance = record["n"], record["chance"]
    return f"top-1 {record['top1']:.3f} [{low:.3f}, {high:.3f}], n = {n:,}, chance {chance:.4f}"
