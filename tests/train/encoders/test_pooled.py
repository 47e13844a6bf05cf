import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from diagonal_train.encoders.pooled import encode_pooled


def vit(output_dim: int = 8) -> nn.Module:
    return VisionTransformer(
        image_size=32,
        patch_size=16,
        width=16,
        layers=1,
        heads=2,
        mlp_ratio=2,
        output_dim=output_dim,
    )


def resnet() -> nn.Module:
    return ModifiedResNet(layers=[1, 1, 1, 1], output_dim=8, heads=4, image_size=32, width=8)


def timm() -> nn.Module:
    return TimmModel("resnet10t", embed_dim=8, image_size=32, pool="avg", proj="linear")


@pytest.mark.parametrize(("build", "width"), [(vit, 16), (resnet, 256), (timm, 512)])
def test_projecting_pooled_features_gives_the_embeddings(build, width: int) -> None:
    visual = build().eval()
    images_BCHW = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        pooled_BP, features_BD = encode_pooled(visual, images_BCHW)
        expected_BD = visual(images_BCHW)
    assert pooled_BP.shape == (3, width)
    torch.testing.assert_close(features_BD, expected_BD)


def test_an_encoder_of_another_kind_gives_its_features_twice() -> None:
    visual = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    pooled_BP, features_BD = encode_pooled(visual, torch.rand(2, 3, 2, 2))
    assert torch.equal(pooled_BP, features_BD)
