from pathlib import Path

import fsspec
import pytest
import webdataset
from tests.hostile_server import HostileServer
from tests.train.streaming.tars import FORMATS, archive, pairs
from webdataset import tariterators

from diagonal_data.tar import parse_sample
from diagonal_infra.errors import StorageError
from diagonal_train.streaming import tar_scan
from diagonal_train.streaming.tar_scan import TarScan, scan_members, scan_tar, shard_file

TEXT = frozenset({"txt"})


def scanned(content: bytes) -> TarScan:
    return scan_members(content, len(content), TEXT)


def read(content: bytes, scan: TarScan) -> dict[str, dict[str, bytes]]:
    """Every sample of a scan, parsed from its range."""
    spans = zip(scan.keys, scan.offsets, scan.lengths, strict=True)
    return {key: parse_sample(content[a : a + size]).members for key, a, size in spans}


def read_by_webdataset(path: Path) -> dict[str, dict[str, bytes]]:
    # Its WebDataset class leaves the file open.
    with path.open("rb") as file:
        members = tariterators.tar_file_expander([{"url": str(path), "stream": file}])
        return {
            sample["__key__"]: {k: v for k, v in sample.items() if not k.startswith("__")}
            for sample in tariterators.group_by_keys(members)
        }


KEYS = {
    "plain": ["000", "001", "002"],
    "nested": ["a/b/000", "a/c.d/000", "./000"],
    "long": ["a" * 60 + "/" + "b" * 80, "c" * 60 + "/" + "d" * 90],
    "unicode": ["naïve/☃", "雪/雪", "雪/☃"],
    "long unicode": ["☃" * 120, f"{'雪' * 80}/{'☃' * 80}"],
}


# USTAR has no place for the last one's names.
CASES = [(f, kind) for f in FORMATS for kind in KEYS if (f, kind) != ("ustar", "long unicode")]


@pytest.mark.parametrize(("format", "kind"), CASES)
def test_the_samples_are_those_that_webdataset_reads(
    tmp_path: Path, format: str, kind: str
) -> None:
    keys = KEYS[kind]
    content = archive(pairs(*keys), format)
    path = tmp_path / "0.tar"
    path.write_bytes(content)
    scan = scan_tar(shard_file(str(path)), TEXT)
    assert read(content, scan) == read_by_webdataset(path)
    assert scan.keys == keys
    assert not scan.skipped


def test_webdatasets_own_writer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for i in range(20):
            key = f"{i:04d}" if i % 2 else f"{'x' * 120}{i}"
            writer.write({"__key__": key, "jpg": b"j" * i, "txt": f"cat {i}", "json": {"i": i}})
    scan = scan_tar(shard_file(str(path)), TEXT)
    assert len(scan.keys) == 20
    assert read(path.read_bytes(), scan) == read_by_webdataset(path)


def test_samples_lie_one_after_the_other_without_a_gap() -> None:
    content = archive(pairs(*["☃" * 120 + str(i) for i in range(4)]))
    scan = scanned(content)
    ends = [a + size for a, size in zip(scan.offsets, scan.lengths, strict=True)]
    assert list(scan.offsets) == [0, *ends[:-1]]


def test_suffixes_may_have_capitals(tmp_path: Path) -> None:
    content = archive(pairs("000", image="JPG", text="TXT") + pairs("001", image="Png"))
    assert read(content, scanned(content))["000"].keys() == {"jpg", "txt"}
    assert scanned(content).keys == ["000", "001"]


def test_folders_and_hidden_files_between_members_are_passed_over() -> None:
    image, text = pairs("a/000")
    content = archive([("a/", b""), ("a/._000.jpg", b"mac"), image, ("README", b"x"), text])
    assert read(content, scanned(content)) == {"a/000": {"jpg": image[1], "txt": text[1]}}


def test_samples_without_an_image_or_a_text_are_counted_by_cause() -> None:
    content = archive(
        [
            ("000.txt", b"a cat"),
            ("001.jpg", b"j"),
            *pairs("002"),
            ("003.pdf", b"p"),
            ("003.txt", b"a dog"),
            ("004.jpg", b"j"),
            ("004.json", b"{}"),
        ]
    )
    scan = scanned(content)
    assert scan.keys == ["002"]
    assert scan.skipped == {"image_missing": 2, "caption_missing": 2}
    with_json = scan_members(content, len(content), frozenset({"txt", "json"}))
    assert with_json.keys == ["002", "004"]


def test_a_cut_tar_keeps_the_samples_before_the_cut() -> None:
    content = archive(pairs("000", "001", "002", "003"))
    ends = [a + n for a, n in zip(scanned(content).offsets, scanned(content).lengths, strict=True)]
    for length in range(0, ends[-1] + 1, 256):
        scan = scanned(content[:length])
        assert scan.keys == [f"{i:03d}" for i, end in enumerate(ends) if end <= length]
        assert scan.skipped["tar_broken"] == 1


def test_a_sample_that_is_cut_is_not_kept_even_with_image_and_text() -> None:
    content = archive([*pairs("000", "001"), ("001.json", b"{}" * 600)])
    scan = scanned(content)
    assert scan.keys == ["000", "001"]
    assert scanned(content[: scan.offsets[1] + scan.lengths[1] - 600]).keys == ["000"]


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x00" * 10240])
def test_a_file_without_samples_gives_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(content)
    assert scan_tar(shard_file(str(path)), TEXT).keys == []


def test_the_mark_of_a_local_file_changes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    path.write_bytes(b"a" * 7)
    stat = path.stat()
    assert shard_file(str(path)).mark == f"7-{stat.st_mtime_ns}"
    assert shard_file(str(path)).size == 7


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.tar"):
        shard_file(str(tmp_path / "gone.tar"))


@pytest.fixture
def memory_tar(monkeypatch: pytest.MonkeyPatch) -> tuple[str, bytes]:
    """A tar on a file system that is not local, read in chunks smaller than a member."""
    monkeypatch.setattr(tar_scan, "CHUNK_BYTES", 700)
    monkeypatch.setattr(tar_scan, "PAUSE_SECONDS", 0.0)
    content = archive(pairs(*["☃" * 120 + str(i) for i in range(9)], "000"))
    fsspec.filesystem("memory").pipe_file("/scan/0.tar", content)
    return "memory://scan/0.tar", content


def test_a_remote_tar_is_scanned_like_a_local_one(memory_tar: tuple[str, bytes]) -> None:
    url, content = memory_tar
    shard = shard_file(url)
    assert (shard.size, shard.mark) == (len(content), str(len(content)))
    assert scan_tar(shard, TEXT) == scanned(content)


def test_a_remote_tar_that_got_shorter_is_named_with_the_range(
    memory_tar: tuple[str, bytes],
) -> None:
    url, content = memory_tar
    shard = shard_file(url)
    fsspec.filesystem("memory").pipe_file("/scan/0.tar", content[:2000])
    with pytest.raises(StorageError, match=r"read bytes \d+-\d+ of memory://scan/0\.tar"):
        scan_tar(shard, TEXT)


def test_a_web_servers_tar_is_scanned(small_web) -> None:
    content = archive(pairs("000", "001"))
    url = small_web.add("/0.tar", content, headers={"ETag": '"abc"'})
    shard = shard_file(url)
    assert (shard.size, shard.mark) == (len(content), '"abc"')
    assert scan_tar(shard, TEXT).keys == ["000", "001"]


def test_a_web_server_without_ranges_is_refused(small_web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_scan, "CHUNK_BYTES", 1000)
    url = small_web.add("/0.tar", archive(pairs("000", "001")))
    with pytest.raises(StorageError, match="for a range of 1000; copy the shards"):
        scan_tar(shard_file(url), TEXT)


@pytest.mark.parametrize("good_before", [0, 1])
def test_a_server_that_fails_now_and_then_is_asked_again(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch, good_before: int
) -> None:
    monkeypatch.setattr(tar_scan, "PAUSE_SECONDS", 0.0)
    good, busy = (archive(pairs("000", "001")), "200 OK"), (b"", "503 Busy")
    server.routes["/0.tar"] = server.in_turn(*[good] * good_before, busy, busy, good)
    assert scan_tar(shard_file(server.url("/0.tar")), TEXT).keys == ["000", "001"]
