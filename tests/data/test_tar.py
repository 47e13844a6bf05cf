import io
import random
import tarfile
from contextlib import suppress

import pytest

from diagonal_data.tar import (
    BrokenTarError,
    Sample,
    TarWriter,
    parse_sample,
    sample_bytes,
    split_name,
    walk_members,
)

SAMPLES = [
    Sample(key="000000000000", members={"jpg": b"j" * 700, "txt": b"a cat", "json": b"{}"}),
    Sample(key="000000000001", members={"jpg": b"", "txt": "naïve".encode(), "json": b"[]"}),
]


def written(samples: list[Sample]) -> tuple[bytes, list]:
    file = io.BytesIO()
    writer = TarWriter(file)
    extents = [writer.add(sample) for sample in samples]
    writer.close()
    return file.getvalue(), extents


def test_tarfile_reads_what_we_write() -> None:
    content, _ = written(SAMPLES)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = archive.getmembers()
    assert [m.name for m in members][:3] == [
        "000000000000.jpg",
        "000000000000.txt",
        "000000000000.json",
    ]
    assert {(m.mtime, m.uid, m.gid, m.mode) for m in members} == {(0, 0, 0, 0o644)}
    assert len(content) % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize(
    ("key", "size"),
    [("000000000001", 0), ("k" * 96, 7), ("k" * 60, 513), ("naïve", 3)],
)
def test_a_header_is_the_one_of_tarfile(key: str, size: int) -> None:
    header = tarfile.TarInfo(f"{key}.jpg")
    header.size, header.mode = size, 0o644
    content = sample_bytes(Sample(key=key, members={"jpg": b"j" * size}))
    assert content[:512] == header.tobuf(format=tarfile.USTAR_FORMAT)


def test_the_same_samples_give_the_same_bytes() -> None:
    assert written(SAMPLES)[0] == written(SAMPLES)[0]


def test_an_extent_is_a_whole_sample() -> None:
    content, extents = written(SAMPLES)
    parsed = [parse_sample(content[e.offset : e.offset + e.length]) for e in extents]
    assert parsed == SAMPLES


def test_a_range_that_is_cut_short_is_an_error() -> None:
    content = sample_bytes(SAMPLES[0])
    with pytest.raises(ValueError, match="does not end inside"):
        parse_sample(content[:1024])
    with pytest.raises(ValueError, match="not a tar header"):
        parse_sample(bytes(512))


@pytest.mark.parametrize("key", ["a.b", "a/b"])
def test_a_key_that_webdataset_would_split_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no dot and no slash"):
        sample_bytes(Sample(key=key, members={"jpg": b""}))


def archive(members: dict[str, bytes], **options) -> bytes:
    """A whole tar as tarfile writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return file.getvalue()


def walked(content: bytes) -> dict[str, bytes]:
    members = walk_members(content, len(content), has_end_mark=True)
    return {name: content[start : start + size] for name, _, start, size, _ in members}


NAMES = {
    "plain": "000.jpg",
    "in a folder": "a/b.c/000.jpg",
    "in the prefix field": f"{'folder/' * 16}000.jpg",
    "long": f"{'long' * 60}.jpg",
    "unicode": "naïve/☃.jpg",
    "long and unicode": f"{'☃' * 120}/雪.jpg",
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("format", FORMATS)
def test_names_are_read_as_tarfile_writes_them(format: str, name: str) -> None:
    members = {name: b"j" * 700, "after.txt": b"a cat"}
    try:
        content = archive(members, format=FORMATS[format])
    except ValueError:
        assert format == "ustar"
        assert len(name.encode()) > 100
        return
    assert walked(content) == members


def test_a_members_extra_headers_belong_to_it() -> None:
    content = archive({"first.jpg": b"", f"{'☃' * 120}.jpg": b"j"}, format=tarfile.PAX_FORMAT)
    (*_, first_end), (_, begin, start, *_) = walk_members(content, len(content), has_end_mark=True)
    assert begin == first_end
    assert start - begin == 3 * 512


def test_a_size_in_a_pax_record_counts() -> None:
    header = tarfile.TarInfo("000.jpg")
    header.pax_headers = {"size": "700"}
    content = header.tobuf(tarfile.PAX_FORMAT) + b"j" * 700 + bytes(324 + 1024)
    assert walked(content) == {"000.jpg": b"j" * 700}


def test_a_global_pax_header_names_nothing() -> None:
    content = archive({"000.jpg": b"j"}, format=tarfile.PAX_FORMAT, pax_headers={"path": "all.jpg"})
    assert content[156:157] == b"g"
    assert walked(content) == {"000.jpg": b"j"}


def with_size(field: bytes) -> bytes:
    content = bytearray(archive({"000.jpg": b"j" * 700}))
    content[124:136] = field
    return bytes(content)


@pytest.mark.parametrize(
    "field",
    [b"\x80" + (700).to_bytes(11), b"1274\0\0\0\0\0\0\0\0", b"       1274 ", b"000000001274"],
)
def test_sizes_are_read_as_others_write_them(field: bytes) -> None:
    assert walked(with_size(field)) == {"000.jpg": b"j" * 700}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (b"\x80" + (1 << 60).to_bytes(11), "does not end inside"),
        (b"\xff" * 12, "no size"),
        (b"-0000001274\0", "negative size"),
        (b"00000009999\0", "no size"),
    ],
)
def test_sizes_that_cannot_be_are_refused(field: bytes, message: str) -> None:
    with pytest.raises(BrokenTarError, match=message):
        walked(with_size(field))


def test_only_regular_files_are_members() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            header = tarfile.TarInfo("other.jpg")
            header.type, header.linkname, header.size = kind, "000.jpg", 5000
            tar.addfile(header)
        header = tarfile.TarInfo("000.jpg")
        header.size = 3
        tar.addfile(header, io.BytesIO(b"jjj"))
    assert walked(file.getvalue()) == {"000.jpg": b"jjj"}


def test_headers_from_before_ustar_are_known_by_their_checksum() -> None:
    header = bytearray(tarfile.TarInfo("000.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    assert walked(bytes(header) + bytes(1024)) == {"000.jpg": b""}
    header[0] += 1
    with pytest.raises(BrokenTarError, match="not a tar header at byte 0"):
        walked(bytes(header) + bytes(1024))


def ends_before_the_cut(content: bytes) -> list[int]:
    seen = []
    try:
        for *_, end in walk_members(content, len(content), has_end_mark=True):
            seen.append(end)
    except BrokenTarError:
        return seen
    raise AssertionError("no cut was found")


def test_a_cut_is_found_after_the_members_before_it() -> None:
    members = {f"{i}.jpg": bytes([i]) * 700 for i in range(4)}
    members[f"{'long' * 60}.jpg"] = b"j"
    content = archive(members, format=tarfile.PAX_FORMAT)
    whole = len(content.rstrip(b"\0")) + 511 & ~511
    ends = [end for *_, end in walk_members(content, len(content), has_end_mark=True)]
    assert ends[-1] == whole
    for length in range(0, whole + 1, 100):
        seen = ends_before_the_cut(content[:length])
        assert seen == [end for end in ends if end <= length]


@pytest.mark.parametrize(
    "records",
    [b"9 path\n", b"path=x\n", b"99 path=x\n", b"0 path=x\n", b"-3 a=b\n", b"10 size=-1\n"],
)
def test_a_broken_pax_header_is_refused(records: bytes) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    content = header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    with pytest.raises(BrokenTarError, match="pax header"):
        walked(content + archive({"000.jpg": b"j"}))


def test_random_bytes_end_the_walk() -> None:
    rng = random.Random(0)
    content = archive(
        {f"{'☃' * i}{i}.jpg": b"j" * i * 99 for i in range(20)}, format=tarfile.PAX_FORMAT
    )
    for _ in range(500):
        damaged = bytearray(content)
        place = rng.randrange(len(content) - 64)
        damaged[place : place + 64] = rng.randbytes(64)
        with suppress(BrokenTarError):
            assert len(walked(bytes(damaged))) <= 20


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("000.jpg", ("000", "jpg")),
        ("a/000.JPG", ("a/000", "jpg")),
        ("a.b/000.seg.png", ("a.b/000", "seg.png")),
        ("./000.txt", ("./000", "txt")),
        ("a.b/000", None),
        ("README", None),
        ("a/.DS_Store", None),
        ("000.", None),
    ],
)
def test_a_key_ends_at_the_names_first_dot(name: str, parts: tuple[str, str] | None) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize("format", FORMATS)
def test_a_foreign_sample_is_parsed(format: str) -> None:
    content = archive(
        {"a/☃.JPG": b"j" * 700, "a/._☃.jpg": b"mac", "a/☃.Txt": b"a cat"}, format=FORMATS[format]
    )
    *_, last = walk_members(content, len(content), has_end_mark=True)
    sample = parse_sample(content[: last[-1]])
    assert sample == Sample(key="a/☃", members={"jpg": b"j" * 700, "txt": b"a cat"})


def test_two_samples_are_not_one() -> None:
    content = sample_bytes(SAMPLES[0]) + sample_bytes(SAMPLES[1])
    with pytest.raises(ValueError, match="is not of the sample"):
        parse_sample(content)
