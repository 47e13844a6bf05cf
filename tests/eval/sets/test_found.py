import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.eval.sets.tiny_sets import config_for

from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.found import FoundSet, evalset_of, picture_digest
from diagonal_eval.sets.registry import TASKS
from diagonal_infra.errors import UserError

PICTURES = [f"picture {i}".encode() for i in range(6)]


def read(rows: Sequence[int]) -> Iterator[bytes]:
    return (PICTURES[row] for row in rows)


FOUND = FoundSet(
    place="/data/mini/test",
    kind="classification",
    keys=tuple(f"k{i}" for i in range(6)),
    picture_digests=tuple(picture_digest(content) for content in PICTURES),
    read=read,
    labels=(0, 1, 2, 0, 1, 2),
    class_names=("röd", "зелёный", "青"),
    templates=("a {c}",),
    groups={"region": tuple("aabbab")},
)


def checked(found: FoundSet, name: str = "wds:/data/mini", **settings: Any) -> EvalSet:
    config = config_for(Path("nowhere"), **settings)
    return evalset_of(found, name=name, split="test", info=TASKS.get(name), config=config)


def test_a_sound_set_is_taken_as_it_is() -> None:
    evalset = checked(FOUND)
    assert evalset.class_names == FOUND.class_names
    assert evalset.templates == ("a {}",)
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == list(FOUND.labels)
    assert list(evalset.read([4, 0])) == [PICTURES[4], PICTURES[0]]
    assert evalset.metric == "acc1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": (), "labels": ()}, "no picture in '/data/mini/test'"),
        ({"keys": ("k0", "k0", *FOUND.keys[2:])}, "1 keys stand twice, first 'k0'"),
        ({"labels": (0, 1, 3, 0, 1, 2)}, "label 3 of 'k2' is not in 0 to 2"),
        ({"labels": (0, -1, 1, 0, 1, 2)}, "label -1 of 'k1'"),
        ({"class_names": ("röd", "зелёный")}, "there are 2 class names"),
        ({"class_names": ("röd",), "labels": (0,) * 6}, "one class, 'röd'"),
        ({"class_names": ()}, r"write classnames\.txt"),
        ({"templates": ("no slot",)}, "'no slot' has no {}"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(change: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        checked(replace(FOUND, **change))


def test_multilabels_are_as_wide_as_the_class_names() -> None:
    rows = ((True, False, True),) * 6
    found = replace(FOUND, kind="multilabel", labels=(), multilabels=rows)
    evalset = checked(found)
    assert evalset.metric == "map"
    assert evalset.multilabels_NC is not None
    assert evalset.multilabels_NC.tolist() == [list(row) for row in rows]
    with pytest.raises(UserError, match="'k5' has 2 labels for 3 class names"):
        checked(replace(found, multilabels=(*rows[:5], (True, False))))


def test_a_known_set_with_another_number_of_classes_is_refused() -> None:
    with pytest.raises(UserError, match="has 3 classes, but cifar10 has 10"):
        checked(FOUND, "cifar10")


def test_a_known_set_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match="laid out for classification, but flickr30k is for ret"):
        checked(FOUND, "flickr30k")


def test_class_names_of_the_user_go_first_and_are_as_many(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    names = checked(FOUND, class_names=str(tmp_path / "names.txt")).class_names
    assert names == ("one", "two", "three")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\nfour\n")
    with pytest.raises(UserError, match=r"4 class names were given for .* which has 3 classes"):
        checked(FOUND, class_names=str(tmp_path / "names.txt"))


def test_classes_without_pictures_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        checked(replace(FOUND, labels=(1,) * 6))
    assert "classes without pictures set=wds:/data/mini count=2 of=3" in caplog.text
    assert "all pictures are of one class" in caplog.text


def test_another_number_of_pictures_than_published_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = replace(FOUND, class_names=tuple("0123456789"), templates=())
    with caplog.at_level(logging.WARNING):
        checked(found, "mnist", max_samples=6)
        assert "published number" not in caplog.text
        checked(found, "mnist")
    assert "found=6 published=10000" in caplog.text


def test_drawn_samples_keep_order_and_their_own_truth() -> None:
    evalset = checked(FOUND, max_samples=4)
    rows = [int(key[1:]) for key in evalset.keys]
    assert len(rows) == 4
    assert rows == sorted(rows)
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == [FOUND.labels[row] for row in rows]
    assert list(evalset.read(range(4))) == [PICTURES[row] for row in rows]
    assert evalset.groups["region"] == tuple(FOUND.groups["region"][row] for row in rows)
    draws = {checked(FOUND, max_samples=4, seed=seed).keys for seed in range(8)}
    assert len(draws) > 1
    assert checked(FOUND, max_samples=4).digest == evalset.digest != checked(FOUND).digest


def test_drawing_more_than_there_are_takes_all() -> None:
    assert checked(FOUND, max_samples=7).digest == checked(FOUND).digest


@pytest.mark.parametrize(
    "change",
    [
        {"labels": (0, 1, 2, 0, 1, 1)},
        {"keys": (*FOUND.keys[:5], "other")},
        {"picture_digests": (*FOUND.picture_digests[:5], picture_digest(b"other"))},
        {"groups": {"region": tuple("aabbaa")}},
    ],
)
def test_other_content_is_another_digest(change: dict) -> None:
    assert checked(replace(FOUND, **change)).digest != checked(FOUND).digest


def test_other_words_are_no_other_content() -> None:
    other = replace(FOUND, class_names=("x", "y", "z"), templates=("{} b",), place="elsewhere")
    assert checked(other).digest == checked(FOUND).digest


def test_captions_are_content() -> None:
    texts = tuple((f"a {i}", f"b {i}") for i in range(6))
    found = replace(FOUND, kind="retrieval", labels=(), class_names=(), captions=texts)
    evalset = checked(found)
    assert evalset.captions == texts
    assert evalset.metric == "image_retrieval_recall@1"
    moved = (("a 0",), ("b 0", "a 1", "b 1"), *texts[2:])
    assert checked(replace(found, captions=moved)).digest != evalset.digest
