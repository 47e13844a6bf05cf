import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from diagonal_train.encoders.load import LoadedModel
from diagonal_train.exporting.onnx import OPSET, write_onnx


@pytest.fixture(scope="module", params=["heads", "demo"])
def exported(request, loaded, tmp_path_factory) -> tuple[LoadedModel, Path]:
    """A model and the folder it was written to."""
    folder = tmp_path_factory.mktemp(request.param)
    write_onnx(folder, loaded(request.param))
    return loaded(request.param), folder


def test_onnxruntime_gives_the_same_logits_at_any_batch_size(
    exported, texts, pictures, pixels, logits
) -> None:
    ours, folder = exported
    record = json.loads((folder / "preprocess.json").read_bytes())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    image, text = (InferenceSession(str(folder / f"{kind}.onnx")) for kind in ("image", "text"))
    for count in (1, 3):
        squares, chosen = pictures(*[ours.image_size] * count), texts[:count] + texts[-1:]
        inputs_BCHW = pixels(ours, squares).contiguous().numpy()
        ids_BT = np.array([encoding.ids for encoding in tokenizer.encode_batch(chosen)])
        (images_BD,) = image.run(None, {"pixel_values": inputs_BCHW})
        (texts_BD,) = text.run(None, {"input_ids": ids_BT})
        theirs = record["logit_scale"] * np.asarray(images_BD) @ np.asarray(texts_BD).T
        np.testing.assert_allclose(theirs, logits(ours, squares, chosen), atol=1e-4, rtol=0)


def test_texts_are_pooled_at_their_first_end_whatever_stands_behind(exported) -> None:
    ours, folder = exported
    session = InferenceSession(str(folder / "text.onnx"))
    ids_BT = ours.tokenizer(["a red circle"])
    with_end_BT = torch.where(ids_BT == 0, ids_BT.max(), ids_BT)
    first, second = (
        np.asarray(session.run(None, {"input_ids": ids.numpy()})[0])
        for ids in (ids_BT, with_end_BT)
    )
    np.testing.assert_array_equal(first, second)


def test_the_record_says_what_the_graphs_take(exported) -> None:
    ours, folder = exported
    record = json.loads((folder / "preprocess.json").read_bytes())
    assert record["image_size"] == ours.config.image_size
    assert record["context_length"] == ours.config.text.context_length
    assert (record["mean"], record["std"]) == (list(ours.mean), list(ours.std))
    assert record["opset"] == OPSET
    for name in ("image", "text"):
        graph = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(graph)
        assert {entry.version for entry in graph.opset_import if entry.domain == ""} == {OPSET}
