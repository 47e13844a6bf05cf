import numpy as np
import pytest
import torch
from tests.eval.conftest import COLOURS, colour_encoder, jpeg
from tests.eval.evalsets import set_of
from torch import nn

from diagonal_eval.embed import embed_texts
from diagonal_eval.probes.classifier import ImageClassifier, interpolated
from diagonal_eval.probes.pictures import batches_in_order, shuffled_batches
from diagonal_eval.zeroshot import build_classifier

NAMES = tuple(COLOURS)
PICTURES = [jpeg(colour) for colour in COLOURS.values()]
ENCODER = colour_encoder()


def classifier() -> ImageClassifier:
    rows_CD = build_classifier(lambda texts: embed_texts(ENCODER, texts, 8), NAMES, ("{}",))
    return ImageClassifier(ENCODER, rows_CD)


def test_a_copy_is_trained_and_only_what_a_logit_depends_on() -> None:
    found = classifier()
    found.model.unused = nn.Linear(2, 2)
    rebuilt = ImageClassifier(ENCODER, np.eye(8, dtype=np.float32))
    assert set(rebuilt.weights()) == {"head_CD", "model.project.weight"}
    found.load({name: weight + 1 for name, weight in found.weights().items()})
    assert not torch.equal(found.model.project.weight, ENCODER.model.project.weight)  # pyright: ignore[reportAttributeAccessIssue]  # ColourModel has it


def test_a_text_encoder_is_frozen() -> None:
    class TwoTowers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.text = nn.Linear(3, 8), nn.Linear(3, 8)

        def encode_image(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            return self.image(images_BCHW.mean(dim=(2, 3)))

    encoder = colour_encoder()
    object.__setattr__(encoder, "model", TwoTowers())
    found = ImageClassifier(encoder, np.eye(8, dtype=np.float32))
    assert set(found.weights()) == {"head_CD", "model.image.weight", "model.image.bias"}


def test_only_dropout_is_turned_on_for_training() -> None:
    found = classifier()
    found.model.extra = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3))
    found.train()
    assert found.model.extra[0].training
    assert not found.model.extra[1].training
    found.eval()
    assert not found.model.extra[0].training


def test_the_line_between_weights_has_exact_ends() -> None:
    left, right = {"a": torch.tensor([0.1, 3.0])}, {"a": torch.tensor([0.7, -1.0])}
    assert interpolated(left, right, 0.0)["a"] is left["a"]
    assert interpolated(left, right, 1.0)["a"] is right["a"]
    torch.testing.assert_close(interpolated(left, right, 0.25)["a"], torch.tensor([0.25, 2.0]))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_leave_out_what_cannot_be_read(batch_size: int) -> None:
    pictures = [b"", *PICTURES[1:4], b"no picture", *PICTURES[5:]]
    evalset = set_of(pictures, labels_N=range(8), class_names=NAMES)
    batches = list(batches_in_order(ENCODER, evalset, batch_size))
    rows = np.concatenate([batch.rows_B for batch in batches]).tolist()
    assert rows == [1, 2, 3, 5, 6, 7]
    assert [len(batch.images_BCHW) for batch in batches] == [len(b.rows_B) for b in batches]


def test_a_shuffled_pass_has_every_picture_and_is_the_seeds() -> None:
    evalset = set_of(PICTURES, labels_N=range(8), class_names=NAMES)

    def order(seed: int, epoch: int) -> list[int]:
        batches = shuffled_batches(ENCODER, evalset, 3, seed=seed, epoch=epoch)
        return np.concatenate([batch.rows_B for batch in batches]).tolist()

    assert sorted(order(0, 0)) == list(range(8))
    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(*which)) for which in ((0, 0), (0, 1), (1, 0))}) == 3
