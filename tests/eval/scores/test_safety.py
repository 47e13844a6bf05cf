"""Nudity, faces and insults. The face is NASA's astronaut, which scikit-image carries."""

from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data
from tests.eval.scores.drawn import BROKEN, encoded, read_table, shapes, write_dataset

from diagonal_data.faces import blur_faces
from diagonal_data.filters.config import FiltersConfig
from diagonal_data.filters.select import select
from diagonal_eval.scores.config import SafetyConfig
from diagonal_eval.scores.run import write_scores

FACE = (0.34, 0.12, 0.54, 0.37)
"""Left, top, right, bottom of the astronaut's."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SafetyConfig:
    astronaut = encoded(Image.fromarray(data.astronaut()).resize((256, 256)), "JPEG")
    samples = [
        (astronaut, "an astronaut before a flag"),
        (encoded(shapes(1)), "you fucking idiot"),
        (BROKEN, "broken"),
    ]
    config = SafetyConfig(
        dataset=write_dataset(tmp_path_factory.mktemp("d"), [samples]), local=True
    )
    assert write_scores(config).undecoded == 1
    assert write_scores(config).shards == 0
    return config


@pytest.fixture
def rows(config: SafetyConfig) -> list[dict[str, Any]]:
    return read_table(config).to_pylist()


def test_a_face_is_found_where_it_is(rows: list[dict[str, Any]]) -> None:
    assert [row["faces"] for row in rows] == [1, 0, None]
    (box,) = rows[0]["face_bboxes"]
    assert np.abs(np.subtract(box, FACE)).max() < 0.06
    assert rows[1]["face_bboxes"] == []


def test_the_boxes_are_what_blurring_reads(rows: list[dict[str, Any]]) -> None:
    pixels = np.array(Image.fromarray(data.astronaut()).resize((256, 256)))
    changed = (blur_faces(pixels, rows[0]["face_bboxes"]) != pixels).any(axis=2)
    assert changed[60:80, 100:120].mean() > 0.8
    assert not changed[200:].any()


def test_harmless_pictures_have_a_low_score(rows: list[dict[str, Any]]) -> None:
    assert all(0 <= row["nsfw"] < 0.2 for row in rows[:2])
    assert rows[0]["nsfw"] != rows[1]["nsfw"]
    assert np.isnan(rows[2]["nsfw"])


def test_an_insult_is_told_from_a_description(rows: list[dict[str, Any]]) -> None:
    assert rows[0]["toxicity"] < 0.3
    assert rows[1]["toxicity"] > 0.9
    assert np.isnan(rows[2]["toxicity"])


def test_a_filter_takes_the_columns(config: SafetyConfig) -> None:
    where = ("safety_nsfw <= 0.5 and safety_faces = 0",)
    kept = select(FiltersConfig(dataset=config.dataset, name="x", where=where)).pool.kept()
    assert kept.tolist() == [1]
