import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tests.eval.sets.tiny_sets import config_for, picture, write_folder

from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_eval.sets.registry import TASKS
from diagonal_eval.sets.wording import packaged_class_names
from diagonal_infra.errors import UserError

IMAGENET = packaged_class_names(TASKS["imagenet1k"], "en")


def opened(folder: Path, tmp_path: Path, split: str = "test", **settings: Any) -> EvalSet:
    return open_set(f"folder:{folder}", config_for(tmp_path, **settings), split)


def labels(evalset: EvalSet) -> list[int]:
    assert evalset.labels_N is not None
    return evalset.labels_N.tolist()


def test_folders_are_classes_in_sorted_order(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", {"red_fox": 2, "арктический_волк": 1, "Cat": 1})
    (folder / "Cat" / "readme.txt").write_text("no picture")
    evalset = opened(folder, tmp_path)
    assert evalset.class_names == ("Cat", "red fox", "арктический волк")
    assert evalset.keys[:2] == ("Cat/0.png", "red_fox/0.png")
    assert labels(evalset) == [0, 1, 1, 2]
    assert list(evalset.read([2, 0])) == [picture(1), picture(3)]


def test_names_are_the_same_on_any_file_system(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "café_noir")
    assert decomposed != "café_noir"
    evalset = opened(write_folder(tmp_path / "d", {decomposed: 1, "thé": 1}), tmp_path)
    assert evalset.class_names == ("café noir", "thé")


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_split_has_its_folder(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path / "d" / "train", {"a": 3, "b": 3})
    write_folder(tmp_path / "d" / name, {"a": 1, "b": 1}, first=9)
    assert len(opened(tmp_path / "d", tmp_path).keys) == 2
    assert len(opened(tmp_path / "d", tmp_path, "train").keys) == 6


@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_of_one_split_are_never_taken_for_the_other(tmp_path: Path, split: str) -> None:
    other = {"train": "test", "test": "train"}[split]
    write_folder(tmp_path / "d" / other, {"a": 1, "b": 1})
    with pytest.raises(AbsentSetError, match=f"no split '{split}'"):
        opened(tmp_path / "d", tmp_path, split)


def test_a_folder_without_splits_is_none_to_train_on(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"a": 1, "b": 1})
    with pytest.raises(AbsentSetError, match="no split 'train'"):
        opened(tmp_path / "d", tmp_path, "train")


def test_wordnet_ids_are_the_classes_of_imagenet(tmp_path: Path) -> None:
    evalset = opened(write_folder(tmp_path / "d", {"n01443537": 1, "n01440764": 2}), tmp_path)
    assert evalset.class_names == ("tench", "goldfish")
    assert labels(evalset) == [0, 0, 1]


def test_a_set_of_a_thousand_classes_keeps_them_all(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "imagenet_sketch", {"n15075141": 1, "n01443537": 1})
    evalset = open_set("imagenet_sketch", config_for(tmp_path))
    assert evalset.class_names == IMAGENET
    assert labels(evalset) == [1, 999]


def test_a_set_of_200_classes_needs_200_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "imagenet-a", {"n15075141": 1, "n01443537": 1})
    with pytest.raises(UserError, match="has 2 classes, but imagenet-a has 200"):
        open_set("imagenet-a", config_for(tmp_path))


def test_an_id_that_imagenet_lacks_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"n15075141": 1, "n99999999": 1})
    with pytest.raises(UserError, match="first 'n99999999'"):
        opened(tmp_path / "d", tmp_path)


def test_numbered_folders_are_labels_and_not_sorted_as_words(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "imagenetv2", {"10": 1, "2": 1, "999": 1})
    evalset = open_set("imagenetv2", config_for(tmp_path))
    assert evalset.class_names == IMAGENET
    assert dict(zip(evalset.keys, labels(evalset), strict=True)) == {
        "10/0.png": 10,
        "2/0.png": 2,
        "999/0.png": 999,
    }


def test_numbers_from_one_on_are_labels_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "flowers", {str(i): 1 for i in range(1, 103)})
    evalset = open_set("flowers", config_for(tmp_path))
    by_key = dict(zip(evalset.keys, labels(evalset), strict=True))
    assert (by_key["1/0.png"], by_key["102/0.png"]) == (0, 101)


def test_numbers_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "mnist", {"3": 1, "10": 1})
    with pytest.raises(UserError, match="numbered 3 to 10 for 10 class names"):
        open_set("mnist", config_for(tmp_path))


def test_folders_of_a_known_set_are_matched_by_name(tmp_path: Path) -> None:
    names = packaged_class_names(TASKS["pets"], "en")
    # As the makers have it: cats with a capital, which sort before all dogs.
    folders = [name.replace(" ", "_") for name in names]
    folders = [name if i % 3 else name.lower() for i, name in enumerate(folders)]
    assert folders != sorted(folders)
    write_folder(tmp_path / "sets" / "pets", dict.fromkeys(folders, 1))
    evalset = open_set("pets", config_for(tmp_path))
    assert evalset.class_names == names
    for key, label in zip(evalset.keys, labels(evalset), strict=True):
        assert folders[label] == key.split("/")[0]


def test_folders_in_the_order_of_the_packaged_names_need_not_have_them(tmp_path: Path) -> None:
    theirs = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    write_folder(tmp_path / "sets" / "fer2013" / "test", dict.fromkeys(theirs, 1))
    evalset = open_set("fer2013", config_for(tmp_path))
    assert evalset.class_names == packaged_class_names(TASKS["fer2013"], "en")
    assert labels(evalset) == list(range(7))


def test_folders_of_a_known_set_with_other_names_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "sets" / "pets", {f"breed {i}": 1 for i in range(37)})
    with pytest.raises(UserError, match=r"37 class folders .* that of 'breed 0'.*folder:DIR"):
        open_set("pets", config_for(tmp_path))


def test_class_names_of_the_user_are_in_the_order_of_the_folders(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", {"a": 1, "b": 1})
    (tmp_path / "names.txt").write_text("первый\nвторой\n")
    evalset = opened(folder, tmp_path, class_names=str(tmp_path / "names.txt"))
    assert evalset.class_names == ("первый", "второй")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(UserError, match="2 class folders for 3 class names"):
        opened(folder, tmp_path, class_names=str(tmp_path / "names.txt"))


def test_an_empty_class_folder_stays_a_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "d", {"a": 1, "b": 0, "c": 1})
    evalset = opened(folder, tmp_path)
    assert evalset.class_names == ("a", "b", "c")
    assert labels(evalset) == [0, 2]
    assert "classes without pictures" in caplog.text


def test_a_folder_of_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one class, 'a'"):
        opened(write_folder(tmp_path / "d", {"a": 3}), tmp_path)


def test_content_makes_the_digest(tmp_path: Path) -> None:
    one = opened(write_folder(tmp_path / "one", {"a": 2, "b": 2}), tmp_path)
    same = opened(write_folder(tmp_path / "same", {"a": 2, "b": 2}), tmp_path)
    other = opened(write_folder(tmp_path / "other", {"a": 2, "b": 2}, first=1), tmp_path)
    assert one.digest == same.digest != other.digest
    (tmp_path / "one" / "a" / "1.png").rename(tmp_path / "one" / "b" / "2.png")
    assert opened(tmp_path / "one", tmp_path).digest != one.digest


def test_a_picture_that_is_gone_is_empty(tmp_path: Path) -> None:
    evalset = opened(write_folder(tmp_path / "d", {"a": 2, "b": 1}), tmp_path)
    (tmp_path / "d" / "a" / "1.png").unlink()
    assert list(evalset.read([0, 1])) == [picture(0), b""]


def test_a_remote_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AbsentSetError, match="from the local disk"):
        open_set("folder:http://127.0.0.1:9/x", config_for(tmp_path))
