"""Both engines behind the same unit contract, on a real server with the faults of a real web."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from diagonal_data.build_shard import build_shard
from diagonal_data.config import DecodeConfig, ShardsConfig
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.run_ledger import RunLedger, SupersededError
from diagonal_data.schema import ROW_SCHEMA, Candidate, candidate_for, candidates_table
from diagonal_data.tar import parse_sample
from diagonal_data.units import Unit
from diagonal_infra.shared import Here

ENGINES = ["native", "img2dataset"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
    # albumentations looks for a newer version of itself and warns that it cannot.
    pytest.mark.filterwarnings("ignore::UserWarning:albumentations"),
]


def build(folder: Path, candidates: list[Candidate], engine: str, host: str, **changes):
    """One shard of these candidates; returns (its info, its rows, its tar's path)."""
    unit = Unit(shard="00000007", path=str(folder / "unit.parquet"))
    pq.write_table(candidates_table(candidates), unit.path)
    config = ShardsConfig(
        candidates="",
        dataset=str(folder),
        engine=engine,  # pyright: ignore[reportArgumentType]  # parametrised literal
        image_size=64,
        allow_hosts=(host,),
        fetch=FetchConfig(timeout_seconds=5.0),
        **changes,
    )
    info = build_shard(unit, Here(RunLedger(config.fetch)), config)
    rows = pq.read_table(folder / "shards" / "00000007.parquet")
    return info, rows, folder / "shards" / "00000007.tar"


@pytest.fixture
def candidates(small_web, make_jpeg, make_picture, encode_picture) -> list[Candidate]:
    """Two good pictures around one candidate of each fault."""
    web = small_web
    urls = {
        "first": web.add("/first.jpg", make_jpeg(1, (200, 100))),
        "absent": web.url("/absent.jpg"),
        "broken server": web.add("/500.jpg", b"oops", status=500),
        "a page": web.add("/page.jpg", b"<html>hello</html>"),
        "a pixel": web.add("/pixel.gif", encode_picture(make_picture(0, (1, 1)), "GIF")),
        "opted out": web.add("/noai.jpg", make_jpeg(5), headers={"X-Robots-Tag": "noai"}),
        "disallowed": web.add("/private/x.jpg", make_jpeg(6)),
        "a file": "file:///etc/hostname",
        "private": "http://10.0.0.5/x.jpg",
        "moved": web.add("/old.jpg", b"", status=301, headers={"Location": "/last.png"}),
        "last": web.add("/last.png", encode_picture(make_picture(2), "PNG")),
    }
    web.add("/robots.txt", b"User-agent: *\nDisallow: /private/\n")
    return [candidate_for(url, caption) for caption, url in urls.items()]


REASONS = {
    "first": None,
    "absent": "not_found",
    "broken server": "http_server_error",
    "a page": "not_an_image",
    "a pixel": "image_too_small",
    "opted out": "opted_out",
    "disallowed": "robots_disallowed",
    "a file": "scheme_refused",
    "private": "address_refused",
    "moved": None,
    "last": None,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_candidate_ends_as_one_row_with_its_reason(
    tmp_path: Path, candidates: list[Candidate], small_web, engine: str
) -> None:
    info, rows, _ = build(tmp_path, candidates, engine, small_web.host)
    assert rows.schema.equals(ROW_SCHEMA)
    assert (
        dict(zip(rows["caption"].to_pylist(), rows["reason"].to_pylist(), strict=True)) == REASONS
    )
    assert rows["uid"].to_pylist() == [c.uid for c in candidates]
    assert (info.candidates, info.samples) == (11, 3)
    assert sum(info.reasons.values()) == 8
    assert "/private/x.jpg" not in small_web.asked


@pytest.mark.parametrize("engine", ENGINES)
def test_the_tar_holds_the_samples_in_candidate_order(
    tmp_path: Path, candidates: list[Candidate], small_web, engine: str
) -> None:
    _, rows, path = build(tmp_path, candidates, engine, small_web.host)
    content = path.read_bytes()
    kept = [row for row in rows.to_pylist() if row["status"] == "success"]
    assert [row["caption"] for row in kept] == ["first", "moved", "last"]
    for row in kept:
        sample = parse_sample(content[row["tar_offset"] : row["tar_offset"] + row["tar_bytes"]])
        assert sample.key == row["key"]
        assert list(sample.members) == ["jpg", "txt", "json"]
        assert sample.members["txt"].decode() == row["caption"]
        image = Image.open(io.BytesIO(sample.members["jpg"]))
        assert image.size == (row["width"], row["height"])
        assert max(image.size) == 64
        facts = json.loads(sample.members["json"])
        assert {name: facts[name] for name in ("uid", "key", "sha256", "original_width")} == {
            name: row[name] for name in ("uid", "key", "sha256", "original_width")
        }


@pytest.mark.parametrize("engine", ENGINES)
def test_building_again_gives_the_same_tar(
    tmp_path: Path, candidates: list[Candidate], small_web, engine: str
) -> None:
    first = build(tmp_path, candidates, engine, small_web.host)
    content = first[2].read_bytes()
    again = build(tmp_path, candidates, engine, small_web.host)
    assert again[0] == first[0]
    assert again[2].read_bytes() == content
    with tarfile.open(first[2]) as archive:
        assert {member.mtime for member in archive} == {0}


@pytest.mark.parametrize("engine", ENGINES)
def test_stats_carry_img2datasets_keys(
    tmp_path: Path, candidates: list[Candidate], small_web, engine: str
) -> None:
    build(tmp_path, candidates, engine, small_web.host)
    stats = json.loads((tmp_path / "shards" / "00000007_stats.json").read_text())
    counts = {"count": 11, "successes": 3, "failed_to_download": 6, "failed_to_resize": 2}
    assert {name: stats[name] for name in counts} == counts
    assert stats["status_dict"]["success"] == 3
    assert stats["end_time"] >= stats["start_time"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open tar
def test_webdataset_reads_the_shard(tmp_path: Path, candidates: list[Candidate], small_web) -> None:
    _, rows, path = build(tmp_path, candidates, "native", small_web.host)
    read = list(webdataset.WebDataset(str(path), shardshuffle=False))
    kept = [
        key
        for key, status in zip(rows["key"].to_pylist(), rows["status"].to_pylist(), strict=True)
        if status == "success"
    ]
    assert [sample["__key__"] for sample in read] == kept
    assert [sample["txt"].decode() for sample in read] == ["first", "moved", "last"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("format", ["png", "webp"])
def test_other_stored_formats(
    tmp_path: Path, candidates: list[Candidate], small_web, engine: str, format: str
) -> None:
    decode = DecodeConfig(format=format, resize_mode="center_crop", only_if_bigger=False)  # pyright: ignore[reportArgumentType]  # parametrised literal
    _, _, path = build(tmp_path, candidates, engine, small_web.host, decode=decode)
    with tarfile.open(path) as archive:
        assert archive.getnames()[0].endswith(format)
        member = archive.extractfile(archive.getnames()[0])
        assert member is not None
        assert Image.open(member).size == (64, 64)


def test_an_attempt_that_another_one_has_overtaken_writes_nothing(
    tmp_path: Path, candidates: list[Candidate], small_web
) -> None:
    class Overtaken(RunLedger):
        """Another attempt begins while this one fetches."""

        def leave(self, worker: str) -> None:
            super().leave(worker)
            self.begin_shard("00000007", "another")

    unit = Unit(shard="00000007", path=str(tmp_path / "unit.parquet"))
    pq.write_table(candidates_table(candidates), unit.path)
    config = ShardsConfig(candidates="", dataset=str(tmp_path), allow_hosts=(small_web.host,))
    with pytest.raises(SupersededError):
        build_shard(unit, Here(Overtaken(config.fetch)), config)
    assert not (tmp_path / "shards").exists()
