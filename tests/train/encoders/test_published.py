from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train.encoders.published import build_pretrained

SMALL = "ViT-S-32-alt"
"""The smallest model of open_clip's with a transformer, a second to build."""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ViT-B-32/openai",
            "with QuickGELU, ViT-B-32 has GELU .* name the model ViT-B-32-",
        ),
        ("ViT-B-32/folder/my-openai.pt", "name the model ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu/laion2b_s34b_b79k", "has QuickGELU .* name the model ViT-B-32$"),
    ],
)
def test_weights_of_the_other_activation_are_refused(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_pretrained(name)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    torch.save({"visual.proj": torch.zeros(3, 3)}, weights)
    with pytest.raises(UserError, match=f"open_clip cannot load '{SMALL}/"):
        build_pretrained(f"{SMALL}/{weights}")


def test_weights_in_a_file_are_loaded_and_pooled_features_lead_to_embeddings(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    clip: Any = open_clip.create_model(SMALL, load_weights=False)
    torch.save(clip.state_dict(), tmp_path / "w.pt")
    published = build_pretrained(f"{SMALL}/{tmp_path / 'w.pt'}")
    images_BCHW = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        pooled_BP, embeddings_BD = published.model.eval().encode_pooled(images_BCHW)
        expected_BD = clip.eval().encode_image(images_BCHW, normalize=True)
    torch.testing.assert_close(embeddings_BD, expected_BD)
    assert pooled_BP.shape == (2, 384)


def test_an_untrained_model_is_the_same_every_time() -> None:
    first, second = (build_pretrained(f"{SMALL}/untrained").model for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
