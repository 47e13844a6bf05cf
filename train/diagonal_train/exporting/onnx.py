"""ONNX: one graph for pictures and one for texts, whose embeddings have length 1.

    image.onnx          pixel_values B×3×S×S float32, normalised → image_embeddings B×D
    text.onnx           input_ids B×T int64                      → text_embeddings B×D
    preprocess.json     what stands between files and these inputs, and the scale of the logits
    tokenizer.json      CLIP's tokenizer, cutting and padding to T, where the model uses that

    logits = logit_scale · image_embeddings · text_embeddingsᵀ (+ logit_bias)

B is any number. Texts are pooled at their first end of text, inside the graph. Weights of more than
MAX_INSIDE_BYTES lie beside a graph, in GRAPH.onnx.data.
"""

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diagonal_infra.errors import UserError
from diagonal_infra.run_dir import to_json
from diagonal_train.encoders.load import LoadedModel
from diagonal_train.exporting.open_clip import preprocessing
from diagonal_train.exporting.tokenizer_files import write_for_graphs
from diagonal_train.streaming.tokenize import ClipTokenizer

OPSET = 18
"""Of 2022; onnxruntime has it since 1.14."""
MAX_INSIDE_BYTES = 2**30
"""A protocol buffer holds 2 GiB."""
NEEDED = ("onnx", "onnxscript")
TALKATIVE = ("onnx_ir", "onnxscript")
"""Loggers that tell of each node they fold."""


class ImageGraph(nn.Module):
    """Pictures to embeddings."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Embeddings B×D of length 1."""
        return self.clip.encode_image(pixel_values, normalize=True)


class TextGraph(nn.Module):
    """Token ids to embeddings."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings B×D of length 1."""
        return self.clip.encode_text(input_ids, normalize=True)


def check_exporter() -> None:
    """Find out before the work starts that torch can write ONNX.

    Raises:
        UserError: it cannot.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--to onnx needs {' and '.join(missing)}; run 'make setup' again")


def write_onnx(folder: Path, loaded: LoadedModel) -> None:
    """Both graphs, and what feeds them."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    size, length = loaded.image_size, loaded.config.text.context_length
    clip = loaded.model.clip
    # A batch of 1 would be taken for the only size there is.
    pixels_BCHW = torch.zeros(2, 3, size, size)
    tokens_BT = torch.zeros(2, length, dtype=torch.long)
    write_graph(folder / "image.onnx", ImageGraph(clip), pixels_BCHW, "pixel_values")
    write_graph(folder / "text.onnx", TextGraph(clip), tokens_BT, "input_ids")
    (folder / "preprocess.json").write_bytes(to_json(preprocess_record(loaded)))
    if isinstance(loaded.tokenizer, ClipTokenizer):
        write_for_graphs(folder, length)


def write_graph(path: Path, graph: nn.Module, example: Tensor, name: str) -> None:
    """One graph of a free batch size."""
    weights = sum(value.nbytes for value in graph.state_dict().values())
    with warnings.catch_warnings():
        # torch 2.13 calls what it has deprecated itself.
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        torch.onnx.export(
            graph.eval(),
            (example,),
            path,
            input_names=[name],
            output_names=[f"{path.stem}_embeddings"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            external_data=weights > MAX_INSIDE_BYTES,
            verbose=False,
        )


def preprocess_record(loaded: LoadedModel) -> dict[str, Any]:
    """preprocess.json: from files to the graphs' inputs, and from embeddings to logits."""
    clip = loaded.model.clip
    bias = getattr(clip, "logit_bias", None)
    own = isinstance(loaded.tokenizer, ClipTokenizer)
    return {
        "opset": OPSET,
        "image_size": loaded.image_size,
        **preprocessing(loaded),
        "crop": "center",
        "pixel_scale": 1 / 255,
        "context_length": loaded.config.text.context_length,
        "tokenizer": "tokenizer.json" if own else f"open_clip: {loaded.config.name}",
        "logit_scale": loaded.model.logit_scale.exp().item(),
        "logit_bias": None if bias is None else bias.item(),
    }
