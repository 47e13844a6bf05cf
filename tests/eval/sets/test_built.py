import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.eval.sets.tiny_sets import config_for, picture, write_folder

from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_infra.errors import UserError

EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture"),
    *("PermanentCrop", "Residential", "River", "SeaLake"),
)


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_flickr(folder: Path) -> None:
    folder.mkdir(parents=True)
    lines = ["image,caption"]
    for number, name in enumerate(("7", "3")):
        (folder / f"{name}.jpg").write_bytes(picture(number, "jpeg"))
        lines += [f"{name}.jpg,caption {name}, with a comma {i}" for i in range(5)]
    (folder / "flickr8k_test_karpathy.txt").write_text("\n".join(lines))


def test_files_are_taken_as_they_are_with_the_builders_labels_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "sets" / "eurosat" / "eurosat" / "2750"
    write_folder(folder, dict.fromkeys(EUROSAT, 2))
    evalset = open_set("eurosat", config_for(tmp_path))
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == [label for label in range(10) for _ in range(2)]
    assert evalset.class_names[0] == "annual crop land"
    assert evalset.keys[0] == "eurosat/2750/AnnualCrop/0.png"
    assert list(evalset.read([19, 1])) == [picture(19), picture(1)]
    assert "a centered satellite photo of {}." in evalset.templates


def test_the_split_of_the_builder_is_kept(tmp_path: Path) -> None:
    for split, first in (("test", 0), ("train", 4)):
        folder = tmp_path / "sets" / "renderedsst2" / "rendered-sst2" / split
        write_folder(folder, {"negative": 2, "positive": 2}, first=first)
    test = open_set("renderedsst2", config_for(tmp_path))
    train = open_set("renderedsst2", config_for(tmp_path), "train")
    assert list(test.read([0])) == [picture(0)]
    assert list(train.read([0])) == [picture(4)]
    assert test.class_names == ("negative", "positive")


def test_pictures_that_are_no_files_are_given_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    raw = tmp_path / "sets" / "mnist" / "MNIST" / "raw"
    for prefix in ("t10k", "train"):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.array([3, 1, 4, 1, 5]))
    evalset = open_set("mnist", config_for(tmp_path))
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == [3, 1, 4, 1, 5]
    for row, content in enumerate(evalset.read(range(5))):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels[row])


def test_karpathys_captions_are_read(tmp_path: Path) -> None:
    write_flickr(tmp_path / "sets" / "flickr8k")
    evalset = open_set("flickr8k", config_for(tmp_path))
    assert evalset.kind == "retrieval"
    assert evalset.keys == ("7.jpg", "3.jpg")
    assert evalset.captions is not None
    assert [len(texts) for texts in evalset.captions] == [5, 5]
    assert evalset.captions[1][0] == "caption 3, with a comma 0"
    assert list(evalset.read([1])) == [picture(1, "jpeg")]


def test_sugar_crepe_asks_of_one_picture_more_than_once(tmp_path: Path) -> None:
    folder = tmp_path / "sets" / "sugar_crepe"
    (folder / "val2017").mkdir(parents=True)
    (folder / "val2017" / "1.jpg").write_bytes(picture(1, "jpeg"))
    row = {"filename": "1.jpg", "caption": "right", "negative_caption": "wrong"}
    (folder / "swap_obj.json").write_text(json.dumps({"0": row, "7": row | {"caption": "good"}}))
    evalset = open_set("sugar_crepe/swap_obj", config_for(tmp_path))
    assert evalset.kind == "selection"
    assert evalset.captions == (("right", "wrong"), ("good", "wrong"))
    assert len(set(evalset.keys)) == 2


def test_captions_of_another_split_are_not_fetched(tmp_path: Path) -> None:
    write_flickr(tmp_path / "sets" / "flickr8k")
    with pytest.raises(AbsentSetError, match="no split 'train' of flickr8k"):
        open_set("flickr8k", config_for(tmp_path), "train")


def test_a_picture_of_a_list_that_is_missing_is_named(tmp_path: Path) -> None:
    write_flickr(tmp_path / "sets" / "flickr8k")
    (tmp_path / "sets" / "flickr8k" / "3.jpg").unlink()
    with pytest.raises(UserError, match=r"1 pictures are missing, first '.*3\.jpg'"):
        open_set("flickr8k", config_for(tmp_path))


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("cifar10", "cifar-10-batches-py/readme.html", "Dataset not found or corrupted"),
        ("food101", "food-101.tar.gz", "clip_benchmark cannot build 'food101'"),
        ("mscoco_captions", "val2014/1.jpg", r"without coco_test_karpathy\.json"),
        ("flickr8k", "1.jpg", r"without flickr8k_test_karpathy\.txt"),
        ("sugar_crepe/swap_obj", "val2017/1.jpg", r"without swap_obj\.json"),
    ],
)
def test_what_the_builder_lacks_is_absent_and_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without wget
    path = tmp_path / "sets" / name.partition("/")[0] / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not it")
    with pytest.raises(AbsentSetError, match=said):
        open_set(name, config_for(tmp_path))
    files = [p for p in (tmp_path / "sets").rglob("*") if p.is_file()]
    assert files == [path]
