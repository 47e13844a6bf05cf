import dataclasses

import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.encoders import text_trim
from diagonal_train.encoders.fit_model import encoder_blocks, fit_model
from diagonal_train.encoders.models import DualEncoder, build_model
from diagonal_train.recipes import TRAIN

# torch's compiler uses what torch itself deprecates.
NO_DEPRECATIONS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NAMED = {"RN50": (1024, 224, 77), "ViT-B-16-SigLIP": (768, 224, 64)}


def built_in(name: str) -> tuple[DualEncoder, TrainConfig]:
    """One of open_clip's models, without memory for its weights."""
    embed_dim, image_size, length = NAMED[name]
    text = TextConfig(context_length=length)
    model = ModelConfig(name=name, embed_dim=embed_dim, image_size=image_size, text=text)
    with torch.device("meta"):
        return build_model(model), dataclasses.replace(TRAIN["tiny"](), model=model)


@pytest.mark.parametrize(("name", "count"), [("RN50", (16, 12)), ("ViT-B-16-SigLIP", (12, 12))])
def test_blocks_of_both_encoders_are_found(name: str, count: tuple[int, int]) -> None:
    image, text = encoder_blocks(built_in(name)[0])
    assert (len(image), len(text)) == count


def test_the_demos_blocks_are_found() -> None:
    image, text = encoder_blocks(build_model(TRAIN["demo"]().model))
    assert (len(image), len(text)) == (3, 1)


def test_micro_batches_and_batch_norm_do_not_go_together() -> None:
    model, config = built_in("RN50")
    with pytest.raises(UserError, match="--micro-batch-size 4 would change"):
        fit_model(model, dataclasses.replace(config, micro_batch_size=4))


@NO_DEPRECATIONS
def test_names_of_weights_stay() -> None:
    config = TRAIN["tiny"]()
    plain = build_model(config.model).state_dict().keys()
    config = dataclasses.replace(
        config, activation_checkpointing="full", compile=True, patch_dropout=0.5
    )
    assert fit_model(build_model(config.model), config).state_dict().keys() == plain


@pytest.mark.slow
@NO_DEPRECATIONS
# Dynamo asks every tensor that it meets for a gradient, also those that keep none.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_model_embeds_about_the_same() -> None:
    """With checkpointed blocks, two lengths of captions, and gradients."""
    config = TRAIN["tiny"]()
    wanted = dataclasses.replace(config, activation_checkpointing="selective", compile=True)
    torch.manual_seed(0)
    plain = build_model(config.model)
    compiled = build_model(config.model)
    compiled.load_state_dict(plain.state_dict())
    compiled = fit_model(compiled, wanted)
    images = torch.randn(4, 3, 32, 32)
    for length in (8, 12):
        tokens = torch.randint(1, 400, (4, 12))
        tokens[:, length - 1] = 400
        captions = text_trim.cut_captions(tokens, plain.text_lengths(tokens))
        for model in (plain, compiled):
            image_BD, text_BD, _ = model(images, captions)
            (image_BD * text_BD).sum().backward()
    for left, right in zip(compiled.parameters(), plain.parameters(), strict=True):
        if left.grad is not None:
            torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-5)
