from pathlib import Path

import pytest

from diagonal_data.candidates.found import Found, ReadCounts
from diagonal_data.candidates.html_folder import find_pages, read_html_file
from diagonal_infra.errors import UserError


def read(folder: Path, base_url: str | None) -> tuple[list[Found], ReadCounts]:
    counts = ReadCounts()
    found = []
    for path in find_pages(str(folder)):
        found += read_html_file(path, counts, folder=str(folder), base_url=base_url)
    return found, counts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "p.html").write_text('<img src="../i.png" alt="near">')
    (tmp_path / "q.HTM").write_text('<img src="http://x.test/j.png" alt="far">')
    (tmp_path / "note.txt").write_text("about")
    return tmp_path


def test_pages_of_all_depths_are_read_from_their_place_on_the_web(folder: Path) -> None:
    found, counts = read(folder, "https://h.test/docs")
    urls = {each.url: each.page_url for each in found}
    assert urls == {
        "https://h.test/docs/i.png": "https://h.test/docs/a%20b/p.html",
        "http://x.test/j.png": "https://h.test/docs/q.HTM",
    }
    assert counts.pages == {"read": 2}


def test_without_a_base_only_absolute_addresses_lead_anywhere(folder: Path) -> None:
    found, counts = read(folder, None)
    assert [(each.url, each.page_url) for each in found] == [("http://x.test/j.png", None)]
    assert counts.images["found"] == 1
    assert sum(counts.images.values()) == 2


def test_a_page_that_vanishes_is_counted_and_a_folder_without_pages_refused(folder: Path) -> None:
    counts = ReadCounts()
    gone = str(folder / "gone.html")
    assert read_html_file(gone, counts, folder=str(folder), base_url=None) == []
    assert counts.pages == {"missing": 1}
    with pytest.raises(UserError, match="no page matches"):
        find_pages(str(folder / "note.txt"))
