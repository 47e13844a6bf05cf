import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.train.streaming.tars import archive, pairs, write_tar

from diagonal_infra.errors import StorageError, UserError
from diagonal_train.streaming.index import SampleIndex, open_index
from diagonal_train.streaming.tar_index import names_tars, shard_names, unique_uids

Open = Callable[..., SampleIndex]


@pytest.fixture
def open_pattern(tmp_path: Path) -> Open:
    """Index a pattern below the test's folder, with a cache of its own."""

    def open_it(pattern: str, **options: tuple[str, ...]) -> SampleIndex:
        return open_index(f"{tmp_path}/{pattern}", None, cache=str(tmp_path / "cache"), **options)

    return open_it


def all_uids(index: SampleIndex) -> list[str]:
    return index.uids(np.arange(len(index)))


@pytest.mark.parametrize("pattern", ["{000..001}.tar", "*.tar", "00[01].tar", "{000,001}.tar"])
def test_braces_and_globs_name_tars(tmp_path: Path, open_pattern: Open, pattern: str) -> None:
    write_tar(tmp_path / "000.tar", "0000", "0001")
    write_tar(tmp_path / "001.tar", "0010")
    index = open_pattern(pattern)
    assert all_uids(index) == ["0000", "0001", "0010"]
    assert index.shard.tolist() == [0, 0, 1]
    assert index.repetition.tolist() == [0, 0, 0]
    assert index.source_ends.tolist() == [3]
    for shard, name in zip(index.shards, ("000.tar", "001.tar"), strict=True):
        stat = (tmp_path / name).stat()
        assert shard.path == str(tmp_path / name)
        assert (shard.size, shard.mark) == (stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}")


def test_the_shards_stand_in_the_patterns_order(tmp_path: Path, open_pattern: Open) -> None:
    for i in range(40):
        write_tar(tmp_path / f"{i:03d}.tar", f"{i:03d}")
    assert all_uids(open_pattern("{039..000}.tar")) == [f"{i:03d}" for i in range(39, -1, -1)]


def test_equal_keys_in_adjacent_shards_are_two_samples(tmp_path: Path, open_pattern: Open) -> None:
    write_tar(tmp_path / "000.tar", "a/x", "a/y")
    write_tar(tmp_path / "001.tar", "a/y", "a/z")
    assert all_uids(open_pattern("*.tar")) == ["a/x", "000/a/y", "001/a/y", "a/z"]


def test_shards_of_one_name_are_told_apart_by_their_folder(
    tmp_path: Path, open_pattern: Open
) -> None:
    for run in ("run1", "run2"):
        write_tar(tmp_path / run / "000.tar", "x")
    assert all_uids(open_pattern("{run1,run2}/000.tar")) == ["run1/000/x", "run2/000/x"]
    assert shard_names(["s3://b/a/0.tar", "s3://b/c/0.tar"]) == ["a/0", "c/0"]
    assert shard_names(["a/0.tar", "a/0.tar"]) == ["0", "0"]


def test_even_a_shard_that_is_listed_twice_has_no_uid_twice() -> None:
    keys = pa.array(["x", "y", "x", "y", "z"], pa.large_string())
    uids = unique_uids(keys, np.array([0, 0, 0, 1, 1]), ["a/0.tar", "b/1.tar"]).to_pylist()
    assert uids == ["0/x#0", "0/y", "0/x#2", "1/y", "z"]


def test_an_empty_shard_is_warned_of_and_passed_over(
    tmp_path: Path, open_pattern: Open, caplog: pytest.LogCaptureFixture
) -> None:
    write_tar(tmp_path / "000.tar", "x")
    write_tar(tmp_path / "001.tar")
    write_tar(tmp_path / "002.tar", "y")
    (tmp_path / "003.tar").touch()
    index = open_pattern("*.tar")
    assert all_uids(index) == ["x", "y"]
    assert index.shard.tolist() == [0, 2]
    assert "cause=shard_empty (no usable sample) count=2 first=" in caplog.text
    assert "001.tar" in caplog.text


def test_each_cause_is_warned_of_once_with_a_shard(
    tmp_path: Path, open_pattern: Open, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [("a.txt", b"t"), ("b.jpg", b"j"), ("c.pdf", b"p"), ("c.txt", b"t")]
    (tmp_path / "000.tar").write_bytes(archive([*bad, *pairs("x")]))
    (tmp_path / "001.tar").write_bytes(archive([*bad, *pairs("y", "z")])[: 512 * 14])
    assert all_uids(open_pattern("*.tar")) == ["x", "y"]
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    causes = {w.split("cause=")[1].split()[0]: w for w in warnings}
    assert len(warnings) == len(causes) == 3
    assert "count=4" in causes["image_missing"]
    assert "count=2" in causes["caption_missing"]
    assert "count=1" in causes["tar_broken"]
    assert "000.tar" in causes["image_missing"]
    assert "001.tar" in causes["tar_broken"]


def test_the_caption_may_stand_in_other_members(tmp_path: Path, open_pattern: Open) -> None:
    content = archive(pairs("x") + pairs("y", text="json") + pairs("z", text="alt"))
    (tmp_path / "000.tar").write_bytes(content)
    assert all_uids(open_pattern("000.tar")) == ["x"]
    assert all_uids(open_pattern("000.tar", captions=("txt", "json:caption"))) == ["x", "y"]
    assert all_uids(open_pattern("000.tar", captions=("alt",))) == ["z"]


def test_tars_without_a_usable_sample_are_refused(tmp_path: Path, open_pattern: Open) -> None:
    (tmp_path / "000.tar").write_bytes(archive(pairs("x", text="json")))
    with pytest.raises(UserError, match=r"the 1 tars of .*000\.tar.*txt.*caption_missing"):
        open_pattern("000.tar")


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path, open_pattern: Open) -> None:
    write_tar(tmp_path / "000.tar", "x")
    with pytest.raises(UserError, match=r"no file matches .*001\.tar"):
        open_pattern("{000..001}.tar")
    with pytest.raises(UserError, match=r"no file matches .*b\*\.tar"):
        open_pattern("b*.tar")


def test_a_shard_that_cannot_be_read_is_named(tmp_path: Path, open_pattern: Open) -> None:
    write_tar(tmp_path / "000.tar", "x")
    (tmp_path / "001.tar").symlink_to(tmp_path / "gone.tar")
    with pytest.raises(StorageError, match=r"read .*001\.tar"):
        open_pattern("*.tar")


def test_tars_that_did_not_change_are_not_scanned_again(tmp_path: Path, open_pattern: Open) -> None:
    path = write_tar(tmp_path / "000.tar", "x", "y")
    first = open_pattern("*.tar")
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = open_pattern("*.tar")
    assert all_uids(again) == all_uids(first) == ["x", "y"]
    assert (again.digest, again.shards) == (first.digest, first.shards)


def test_a_tar_that_changed_is_scanned_again(tmp_path: Path, open_pattern: Open) -> None:
    path = write_tar(tmp_path / "000.tar", "x", "y")
    assert all_uids(open_pattern("*.tar")) == ["x", "y"]
    before = path.stat()
    write_tar(path, "z", "y")
    # File systems with coarse clocks give both the same time.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    assert all_uids(open_pattern("*.tar")) == ["z", "y"]


def test_the_digest_names_the_samples_and_not_the_place(tmp_path: Path, open_pattern: Open) -> None:
    write_tar(tmp_path / "a" / "0.tar", "x", "y")
    write_tar(tmp_path / "b" / "0.tar", "x", "y")
    write_tar(tmp_path / "c" / "0.tar", "x", "z")
    digests = [open_pattern(f"{folder}/0.tar").digest for folder in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_tars_of_a_web_server_are_indexed(small_web, tmp_path: Path) -> None:
    for i in range(3):
        small_web.add(f"/t/{i:03d}.tar", archive(pairs(f"{i}a", f"{i}b")))
    cache = str(tmp_path / "cache")
    index = open_index(small_web.url("/t/{000..002}.tar"), None, cache=cache)
    assert all_uids(index) == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert index.shards[1].path == small_web.url("/t/001.tar")
    with pytest.raises(UserError, match=r"no file matches .*003\.tar"):
        open_index(small_web.url("/t/{000..003}.tar"), None, cache=cache)


@pytest.mark.parametrize(
    ("data", "are_tars"),
    [
        ("/x/{00000..00031}.tar", True),
        ("s3://b/*.tar", True),
        ("/x/{a.tar,b.tar}", True),
        ("/x/d", False),
        ("/x/a.tar/d", False),
    ],
)
def test_what_ends_in_tar_is_no_dataset_folder(data: str, are_tars: bool) -> None:
    assert names_tars(data) is are_tars


def test_a_brace_that_is_not_closed_is_named() -> None:
    with pytest.raises(UserError, match=r"unbalanced braces in '/x/\{0\.\.3\.tar'"):
        open_index("/x/{0..3.tar", None)
