"""Text in pictures that were printed on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.eval.scores.drawn import (
    BROKEN,
    encoded,
    halves_encoder,
    lettered,
    read_table,
    shapes,
    write_dataset,
)

from diagonal_eval.scores import clip, ocr
from diagonal_eval.scores.config import ClipConfig, OcrConfig
from diagonal_eval.scores.run import write_scores
from diagonal_train.streaming.transforms import whole_image


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Scored by a model that sees brightness, on the left and on the right."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (ocr, clip):
            patch.setattr(module, "load_encoder", lambda *_, **__: halves_encoder())
        return score(tmp_path_factory.mktemp("d"))


def score(folder: Path) -> list[dict[str, Any]]:
    print_ = encoded(lettered(["FRESH BREAD", "daily 7-19"]))
    samples = [
        (print_, "Fresh bread, daily"),
        (print_, "a picture of the bakery"),
        (encoded(shapes(1)), "some drawing"),
        (BROKEN, "broken"),
    ]
    dataset = write_dataset(folder, [samples])
    config = OcrConfig(dataset=dataset, model="any", local=True)
    assert write_scores(config).undecoded == 1
    assert write_scores(config).shards == 0
    cosines = ClipConfig(dataset=dataset, model="any", local=True)
    write_scores(cosines)
    similarity = read_table(cosines)["similarity"].to_pylist()
    return [
        {**row, "similarity": value}
        for row, value in zip(read_table(config).to_pylist(), similarity, strict=True)
    ]


def test_print_is_read_and_compared_with_the_caption(rows: list[dict[str, Any]]) -> None:
    assert rows[0]["text_overlap"] == 1
    assert rows[1]["text_overlap"] == 0
    assert 0.1 < rows[0]["text_area"] < 0.6
    assert rows[0]["text_area"] == rows[1]["text_area"]
    assert (rows[2]["text_area"], rows[2]["text_overlap"]) == (0, 0)


def test_masking_changes_the_similarity_of_print_alone(rows: list[dict[str, Any]]) -> None:
    assert rows[2]["similarity_masked"] == rows[2]["similarity"]
    # Black print makes the left darker; without it both sides are alike.
    assert rows[0]["similarity"] < 0.5**0.5 - 5e-3
    assert rows[0]["similarity_masked"] == pytest.approx(0.5**0.5, abs=2e-3)


def test_what_cannot_be_decoded_has_no_values(rows: list[dict[str, Any]]) -> None:
    assert all(np.isnan(rows[3][name]) for name in (*ocr.SCHEMA.names, "similarity_masked"))


@pytest.mark.parametrize(
    ("caption", "texts", "share"),
    [
        ("Open on Sunday!", ["OPEN", "on sunday"], 1.0),
        ("open on sunday", ["OPENONSUNDAY"], 2 / 3),
        ("red red car", ["car"], 0.5),
        ("red car", [], 0.0),
        ("...", ["open"], 0.0),
        ("Zürich 2019", ["zürich_2019"], 1.0),
    ],
)
def test_overlap_is_the_share_of_the_captions_words(
    caption: str, texts: list[str], share: float
) -> None:
    assert ocr.overlap(caption, texts) == pytest.approx(share)


def test_a_box_gets_the_colour_around_it_and_the_rest_stays() -> None:
    pixels = np.full((60, 100, 3), (10, 120, 200), np.uint8)
    pixels[:, 50:] = (200, 100, 20)
    plain = pixels.copy()
    pixels[20:40, 10:30] = 255
    pixels[20:40, 60:90] = 0
    boxes = [
        np.array([(left, 20), (right, 20), (right, 39), (left, 39)], np.float32)
        for left, right in ((10, 29), (60, 89))
    ]
    mask = ocr.text_mask(pixels, boxes)
    assert mask.sum() == 20 * 20 + 20 * 30
    content = ocr.without_text(ocr.Picture(b"", pixels), boxes, mask)
    assert np.array_equal(whole_image(content), plain)


def test_a_picture_that_is_all_text_becomes_its_mean() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[:5] = 200
    boxes = [np.array([(0, 0), (9, 0), (9, 9), (0, 9)], np.float32)]
    content = ocr.without_text(ocr.Picture(b"", pixels), boxes, ocr.text_mask(pixels, boxes))
    assert np.array_equal(whole_image(content), np.full((10, 10, 3), 100, np.uint8))


def test_another_model_is_another_set_of_values(tmp_path: Path, tiny_run: str) -> None:
    plain = ocr.build(OcrConfig(dataset=str(tmp_path)))
    first, last = (
        ocr.build(OcrConfig(dataset=str(tmp_path), model=f"{tiny_run}/checkpoints/step-{step:08d}"))
        for step in (0, 8)
    )
    assert len({plain.digest, first.digest, last.digest}) == 3
    assert "similarity_masked" not in plain.schema.names
