"""The contact sheets as one file."""

import re
from pathlib import Path

from tests.eval.explore.worlds import HOSTILE, World

from diagonal_eval.explore.config import ReportConfig
from diagonal_eval.explore.report import write_report


def written(world: World, output: Path) -> str:
    write_report(ReportConfig(dataset=world.dataset, output=str(output), pictures_per_sheet=5))
    return output.read_text()


def test_the_page_needs_nothing_else_and_shows_every_kind_of_sheet(
    world: World, tmp_path: Path
) -> None:
    page = written(world, tmp_path / "report.html")
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    for heading in ("Samples from all over", "clip_similarity", "dedup_exact_cluster"):
        assert heading in page
    assert "Filter first" in page
    assert "Kept: 16" in page
    sheets = page.count('<div class="sheet">')
    assert sheets >= 9
    assert page.count("data:image/jpeg") <= 5 * sheets


def test_hostile_captions_are_text(world: World, tmp_path: Path) -> None:
    page = written(world, tmp_path / "report.html")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<img src=x" not in page


def test_what_cannot_be_read_is_said_and_the_rest_is_written(
    own_world: World, tmp_path: Path
) -> None:
    table = own_world.root / "scores" / "clip" / "demo" / "00000001.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    tar = own_world.root / "shards" / "00000001.tar"
    tar.write_bytes(b"\0" * tar.stat().st_size)
    page = written(own_world, tmp_path / "report.html")
    assert "00000001.parquet&#39; cannot be read" in page
    assert "dedup_exact_cluster" in page
