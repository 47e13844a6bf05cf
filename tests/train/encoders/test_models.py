import dataclasses
from pathlib import Path

import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders.load import load_model
from diagonal_train.encoders.models import build_model
from diagonal_train.recipes import TRAIN


@pytest.mark.parametrize("name", list(TRAIN))
def test_every_recipe_builds_its_model(name: str) -> None:
    config = TRAIN[name]()
    with torch.device("meta"):
        model = build_model(config.model)
    assert model.logit_scale.ndim == 0


@pytest.mark.parametrize("name", ["demo", "tiny"])
def test_embeddings_are_float32_of_length_1(name: str) -> None:
    config = TRAIN[name]().model
    model = build_model(config)
    images_BCHW = torch.randn(2, 3, config.image_size, config.image_size)
    tokens_BT = torch.randint(1, 400, (2, config.text.context_length))
    with torch.autocast("cpu", torch.bfloat16):
        image_BD, text_BD, scale = model(images_BCHW, tokens_BT)
    for features_BD in (image_BD, text_BD):
        assert features_BD.shape == (2, config.embed_dim)
        assert features_BD.dtype == torch.float32
        torch.testing.assert_close(features_BD.norm(dim=-1), torch.ones(2))
    assert scale.item() == pytest.approx(1 / 0.07)


def test_the_demos_image_encoder_names_the_size_it_needs() -> None:
    config = dataclasses.replace(TRAIN["demo"]().model, image_size=64)
    with pytest.raises(UserError, match=r"needs --model.image-size 48, got 64"):
        build_model(config)


def test_the_demos_image_encoder_has_no_batch_statistics() -> None:
    model = build_model(TRAIN["demo"]().model)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]


def test_a_built_in_model_must_have_its_own_sizes() -> None:
    config = ModelConfig(name="ViT-B-32", embed_dim=512, text=TextConfig(context_length=77))
    with torch.device("meta"):
        assert build_model(config).clip.visual.image_size == (224, 224)
    wrong = dataclasses.replace(config, image_size=256)
    with pytest.raises(UserError, match=r"needs --model.image-size 224$"):
        build_model(wrong)
    with pytest.raises(UserError, match="no model 'ViT-Z'"):
        build_model(dataclasses.replace(config, name="ViT-Z"))


def test_a_run_is_loaded_as_trained_and_as_it_began(finished_run: TrainConfig) -> None:
    trained, began = load_model(finished_run.run), load_model(finished_run.run, step=0)
    assert (trained.step, began.step) == (20, 0)
    assert trained.config == finished_run.model
    assert not trained.model.training
    torch.manual_seed(finished_run.seed)
    fresh = build_model(finished_run.model)
    weights = began.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in fresh.state_dict().items())
    scales = (trained.model.logit_scale.item(), began.model.logit_scale.item())
    assert scales[0] != scales[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"config": {', "no record"), ("{}", "no record"), ('{"config": {}}', "lacks embed_dim")],
)
def test_a_run_of_other_code_is_a_user_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(str(tmp_path))


def test_a_missing_run_or_step_is_named(finished_run: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run at"):
        load_model(str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no checkpoint of step 7 .* steps \[0, 10, 20\]"):
        load_model(finished_run.run, step=7)
