import io
import tarfile

import pytest

from diagonal_data.tar import (
    Sample,
    TarWriter,
    parse_sample,
    sample_bytes,
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
