import logging
import tarfile
from pathlib import Path
from typing import IO, Any, cast

import fsspec.config
import pytest
from moto.server import ThreadedMotoServer
from tests.conftest import SmallWeb
from tests.eval.sets.tiny_sets import (
    COLOURS,
    config_for,
    labelled,
    npy,
    picture,
    write_wds,
)

from diagonal_data.tar import Sample
from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set
from diagonal_infra.errors import StorageError, UserError


def opened(folder: Path | str, tmp_path: Path, split: str = "test", **settings: Any) -> EvalSet:
    return open_set(f"wds:{folder}", config_for(tmp_path, **settings), split)


def with_captions(n: int, texts: str) -> list[Sample]:
    return [
        Sample(
            key=f"c{i}",
            members={"jpg": picture(i, "jpeg"), "txt": texts.replace("{}", str(i)).encode()},
        )
        for i in range(n)
    ]


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    samples = labelled(7)
    evalset = opened(write_wds(tmp_path / "d", [samples[:3], samples[3:]]), tmp_path)
    assert evalset.kind == "classification"
    assert evalset.keys == tuple(sample.key for sample in samples)
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert evalset.class_names == COLOURS
    assert evalset.templates == ("a photo of a {}.", "{}")
    assert list(evalset.read([6, 0, 3])) == [picture(6), picture(0), picture(3)]


def test_another_reader_of_tars_sees_the_same(tmp_path: Path) -> None:
    samples = labelled(7)
    folder = write_wds(tmp_path / "d", [samples[:3], samples[3:]])
    theirs: list[bytes] = []
    for number in range(2):
        with tarfile.open(folder / "test" / f"{number}.tar") as tar:
            names = [member.name for member in tar if member.name.endswith(".png")]
            theirs += [cast(IO[bytes], tar.extractfile(name)).read() for name in names]
    ours = opened(folder, tmp_path)
    assert list(ours.read(range(len(ours.keys)))) == theirs


def test_a_set_over_http_is_the_set_that_lies_there(tmp_path: Path, small_web: SmallWeb) -> None:
    folder = write_wds(tmp_path / "d", [labelled(4)])
    for path in folder.rglob("*.t*"):
        small_web.add(f"/d/{path.relative_to(folder).as_posix()}", path.read_bytes())
    near, far = opened(folder, tmp_path), opened(small_web.url("/d"), tmp_path)
    assert far.digest == near.digest
    assert far.class_names == near.class_names
    assert list(far.read([3, 1])) == list(near.read([3, 1]))


def test_a_set_on_s3_is_the_set_that_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_wds(tmp_path / "d", [labelled(2), labelled(4)[2:]])
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    store = {"endpoint_url": f"http://{host}:{port}", "key": "key", "secret": "secret"}
    monkeypatch.setitem(fsspec.config.conf, "s3", fsspec.config.conf["s3"] | store)
    fsspec.filesystem("s3").put(str(folder), "s3://sets/d", recursive=True)
    near, far = opened(folder, tmp_path), opened("s3://sets/d", tmp_path)
    moto.stop()
    assert far.digest == near.digest
    assert list(far.read([3, 1])) == list(near.read([3, 1]))


def test_a_server_in_trouble_is_not_an_absent_file(tmp_path: Path, small_web: SmallWeb) -> None:
    small_web.add("/d/test/nshards.txt", b"", status=500)
    with pytest.raises(StorageError, match=r"nshards\.txt"):
        opened(small_web.url("/d"), tmp_path)


def test_the_split_is_the_folder(tmp_path: Path) -> None:
    folder = write_wds(tmp_path / "d", [labelled(4)])
    write_wds(folder, [labelled(6)], split="train")
    assert len(opened(folder, tmp_path, "train").keys) == 6
    assert len(opened(folder, tmp_path).keys) == 4
    with pytest.raises(AbsentSetError, match=r"val.*nshards\.txt is missing"):
        opened(folder, tmp_path, "val")


def test_one_label_changed_is_another_digest(tmp_path: Path) -> None:
    samples = labelled(4)
    changed = [*samples[:3], Sample(key=samples[3].key, members=samples[3].members | {"cls": b"2"})]
    one = opened(write_wds(tmp_path / "one", [samples]), tmp_path)
    same = opened(write_wds(tmp_path / "same", [samples[:1], samples[1:]]), tmp_path)
    other = opened(write_wds(tmp_path / "other", [changed]), tmp_path)
    assert one.digest == same.digest != other.digest


def test_multilabel_sets_have_their_labels_in_arrays(tmp_path: Path) -> None:
    samples = [
        Sample(key=f"m{i}", members={"png": picture(i), "npy": npy([1, i % 2, 0])})
        for i in range(3)
    ]
    evalset = opened(write_wds(tmp_path / "d", [samples], kind="multilabel"), tmp_path)
    assert evalset.multilabels_NC is not None
    assert evalset.multilabels_NC.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]


def test_a_retrieval_set_has_captions_line_by_line(tmp_path: Path) -> None:
    samples = with_captions(2, "ett {}\nдва {}\n\n三 {}\n")
    evalset = opened(write_wds(tmp_path / "d", [samples], kind="retrieval"), tmp_path)
    assert evalset.kind == "retrieval"
    assert evalset.captions == (("ett 0", "два 0", "三 0"), ("ett 1", "два 1", "三 1"))


def test_a_known_set_of_choices_keeps_the_right_caption_first(tmp_path: Path) -> None:
    samples = with_captions(2, "right {}\nwrong {}")
    write_wds(tmp_path / "sets" / "winoground", [samples], kind="retrieval")
    evalset = open_set("winoground", config_for(tmp_path))
    assert (evalset.kind, evalset.metric) == ("selection", "text_acc")
    assert evalset.captions == (("right 0", "wrong 0"), ("right 1", "wrong 1"))


@pytest.mark.parametrize(
    ("members", "kind", "said"),
    [
        ({"png": b"x", "cls": b"cat"}, None, "label of 'bad' is 'cat', not an integer"),
        ({"png": b"x", "cls": b"1.5"}, None, "'1.5', not an integer"),
        ({"png": b"x", "cls": b"1_0"}, None, "'1_0', not an integer"),
        ({"png": b"x", "cls": b"9"}, None, "label 9 of 'bad' is not in 0 to 2"),
        ({"png": b"x"}, None, r"'bad' has no label, a member bad\.cls"),
        ({"png": b"x", "npy": npy([0, 2, 0])}, "multilabel", "is 2.0, neither 0 nor 1"),
        ({"png": b"x", "npy": npy([0, float("nan"), 0], float)}, "multilabel", "is nan, neither"),
        ({"png": b"x"}, "multilabel", "'bad' has no labels"),
        ({"png": b"x", "txt": b"\n \n"}, "retrieval", "'bad' has no caption"),
        ({"png": b"x", "txt": b"one"}, "selection", "fewer than 2 captions"),
        ({"png": b"x", "cls": b"0"}, "segmentation", "says 'segmentation'"),
    ],
)
def test_samples_that_are_wrong_are_named(
    tmp_path: Path, members: dict, kind: str | None, said: str
) -> None:
    write_wds(tmp_path / "d", [[Sample(key="bad", members=members)]], kind=kind)
    with pytest.raises(UserError, match=said):
        opened(tmp_path / "d", tmp_path)


@pytest.mark.parametrize(("text", "said"), [("", "''"), ("two", "'two'"), ("0", "'0'")])
def test_a_number_of_shards_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    folder = write_wds(tmp_path / "d", [labelled(4)])
    (folder / "test" / "nshards.txt").write_text(text)
    with pytest.raises(UserError, match=f"holds {said}, not a number of shards"):
        opened(folder, tmp_path)


def test_a_partial_set_is_refused(tmp_path: Path) -> None:
    folder = write_wds(tmp_path / "d", [labelled(2), labelled(2)])
    (folder / "test" / "1.tar").unlink()
    with pytest.raises(UserError, match=r"no shard '.*1\.tar'"):
        opened(folder, tmp_path)


def test_a_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 keys stand twice, first 's0000000'"):
        opened(write_wds(tmp_path / "d", [labelled(2), labelled(2)]), tmp_path)


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture in"):
        opened(write_wds(tmp_path / "d", [[]]), tmp_path)


def test_samples_without_a_picture_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = [*labelled(3), Sample(key="none", members={"cls": b"1"})]
    with caplog.at_level(logging.WARNING):
        evalset = opened(write_wds(tmp_path / "d", [samples]), tmp_path)
    assert len(evalset.keys) == 3
    assert "samples without a picture" in caplog.text
    assert "count=1" in caplog.text


def test_one_question_of_several_is_asked_of_faces(tmp_path: Path) -> None:
    rows = [(2, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 0)]
    samples = [
        Sample(key=f"f{i}", members={"png": picture(i), "npy": npy(row), "cls": b"0"})
        for i, row in enumerate(rows)
    ]
    names = ["age:0-2", "age:3-9", "age:10-19", "gender:man", "gender:woman", "race:A", "race:B"]
    templates = ["gender:a photo of a {c}", "age:aged {c}"]
    folder = tmp_path / "sets" / "wds_fairface_test"
    write_wds(folder, [samples], class_names=names, templates=templates)
    evalset = open_set("fairface", config_for(tmp_path))
    assert evalset.class_names == ("man", "woman")
    assert evalset.templates == ("a photo of a {}",)
    assert evalset.labels_N is not None
    assert evalset.labels_N.tolist() == [0, 1, 1]
    assert dict(evalset.groups) == {
        "race": ("B", "A", "B"),
        "age": ("10-19", "0-2", "3-9"),
        "gender": ("man", "woman", "woman"),
    }
