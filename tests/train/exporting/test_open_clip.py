import io
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from diagonal_train.encoders import image_encoder
from diagonal_train.exporting.open_clip import write_open_clip


@pytest.mark.parametrize("name", ["tiny", "heads", "demo", "vit-b32"])
def test_open_clip_gives_the_same_logits_from_the_same_picture_and_text(
    name, loaded, texts, pictures, logits, tmp_path: Path
) -> None:
    ours = loaded(name)
    write_open_clip(tmp_path, ours)
    image_encoder.register()
    place = f"local-dir:{tmp_path}"
    built: Any = open_clip.create_model_and_transforms(place)
    model, _, preprocess = built
    tokenizer = open_clip.get_tokenizer(place)
    squares = pictures(ours.image_size, 100, 333)
    opened = [Image.open(io.BytesIO(square)) for square in squares]
    images_BCHW = torch.stack([preprocess(image) for image in opened])
    with torch.inference_mode():
        theirs, _ = model.eval().get_logits(images_BCHW, tokenizer(texts))
    torch.testing.assert_close(theirs, logits(ours, squares, texts), atol=1e-5, rtol=0)


def test_a_bias_of_the_logits_is_kept(loaded, tmp_path: Path) -> None:
    ours = loaded("heads")
    ours.model.clip.logit_bias = torch.nn.Parameter(torch.tensor(-7.5))
    write_open_clip(tmp_path, ours)
    ours.model.clip.logit_bias = None
    model = open_clip.create_model(f"local-dir:{tmp_path}")
    assert model.state_dict()["logit_bias"].item() == -7.5
