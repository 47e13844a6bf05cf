import json
from pathlib import Path

import pytest
from tests.conftest import SmallWeb
from tests.eval.sets.tiny_sets import labelled, npy, picture, write_tar

from diagonal_data.tar import Sample
from diagonal_eval.sets.found import picture_digest
from diagonal_eval.sets.tars import IndexedTar, index_tar, read_pictures
from diagonal_infra.errors import UserError


def all_pictures(tar: IndexedTar) -> list[bytes]:
    places = [(0, sample) for sample in tar.samples]
    return list(read_pictures([tar], places, range(len(places))))


def test_an_index_has_places_digests_and_small_members(tmp_path: Path) -> None:
    facts = {"region": "asia", "n": 3}
    members = {"webp": picture(5), "npy": npy([1, 0]), "json": json.dumps(facts).encode()}
    other = Sample(key="über", members=members | {"xyz": b"not looked at", "txt": b"one\ntwo"})
    write_tar(tmp_path / "0.tar", [*labelled(2), other])
    tar = index_tar(str(tmp_path / "0.tar"), str(tmp_path / "cache"))
    assert [sample.key for sample in tar.samples] == ["s0000000", "s0000001", "über"]
    assert [sample.cls for sample in tar.samples] == ["0", "1", None]
    assert (tar.samples[2].npy, tar.samples[2].json) == ((1.0, 0.0), facts)
    assert tar.samples[2].txt == "one\ntwo"
    assert tar.samples[1].digest == picture_digest(picture(1))
    assert all_pictures(tar) == [picture(0), picture(1), picture(5)]


def test_a_tar_is_indexed_once_until_it_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "0.tar", tmp_path / "cache"
    write_tar(path, labelled(2))
    first = index_tar(str(path), str(cache))
    (index,) = (cache / "index").iterdir()
    rows = json.loads(index.read_bytes())
    rows[0]["cls"] = "from the index"
    index.write_text(json.dumps(rows))
    assert index_tar(str(path), str(cache)).samples[0].cls == "from the index"
    write_tar(path, labelled(3))
    assert index_tar(str(path), str(cache)).samples[:2] == first.samples
    assert len(list((cache / "index").iterdir())) == 2


def test_a_remote_tar_is_fetched_once_and_whole(tmp_path: Path, small_web: SmallWeb) -> None:
    write_tar(tmp_path / "0.tar", labelled(3))
    url = small_web.add("/0.tar", (tmp_path / "0.tar").read_bytes())
    tar = index_tar(url, str(tmp_path / "cache"))
    assert all_pictures(tar) == [picture(0), picture(1), picture(2)]
    assert Path(tar.path).read_bytes() == (tmp_path / "0.tar").read_bytes()
    assert list(Path(tar.path).parent.iterdir()) == [Path(tar.path)]
    Path(tar.path).write_bytes(b"what was fetched")
    assert index_tar(url, str(tmp_path / "cache")) == tar
    assert Path(tar.path).read_bytes() == b"what was fetched"


def test_a_remote_tar_that_was_replaced_is_fetched_anew(
    tmp_path: Path, small_web: SmallWeb
) -> None:
    for n in (2, 4):
        write_tar(tmp_path / "0.tar", labelled(n))
        url = small_web.add("/0.tar", (tmp_path / "0.tar").read_bytes(), headers={"ETag": str(n)})
        assert len(index_tar(url, str(tmp_path / "cache")).samples) == n


@pytest.mark.parametrize("kept", [0, 300, 1600, -10240])
def test_a_cut_tar_is_refused(tmp_path: Path, kept: int) -> None:
    write_tar(tmp_path / "0.tar", labelled(9))
    content = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(content[:kept])
    with pytest.raises(UserError, match=r"0\.tar' is (cut|empty)"):
        index_tar(str(tmp_path / "0.tar"), str(tmp_path / "cache"))


def test_a_missing_tar_is_named(tmp_path: Path, small_web: SmallWeb) -> None:
    for address in (str(tmp_path / "7.tar"), small_web.url("/7.tar")):
        with pytest.raises(UserError, match=r"no shard '.*7\.tar'"):
            index_tar(address, str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"jpg": b"a", "png": b"b"}, "a second picture of the key 'k'"),
        ({"jpg": b"a", "json": b"{"}, r"k\.json' in .* cannot be read"),
        ({"jpg": b"a", "txt": b"\xff"}, r"k\.txt' in .* cannot be read"),
        ({"jpg": b"a", "npy": b"no array"}, r"k\.npy' in .* cannot be read"),
        ({"jpg": b"a", "cls": bytes(1 << 21)}, "has 2097152 bytes"),
    ],
)
def test_a_damaged_member_is_named(tmp_path: Path, members: dict, said: str) -> None:
    write_tar(tmp_path / "0.tar", [Sample(key="k", members=members)])
    with pytest.raises(UserError, match=said):
        index_tar(str(tmp_path / "0.tar"), str(tmp_path / "cache"))


def test_pictures_come_in_the_order_asked_and_empty_from_a_tar_that_is_gone(tmp_path: Path) -> None:
    tars = []
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", labelled(3))
        tars.append(index_tar(str(tmp_path / f"{number}.tar"), str(tmp_path / "cache")))
    places = [(number, sample) for number, tar in enumerate(tars) for sample in tar.samples]
    expected = [picture(2), picture(1), picture(0)]
    assert list(read_pictures(tars, places, [5, 1, 3])) == expected
    (tmp_path / "1.tar").unlink()
    assert list(read_pictures(tars, places, [5, 1, 3])) == [b"", picture(1), b""]
