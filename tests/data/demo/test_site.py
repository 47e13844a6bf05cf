import hashlib
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from diagonal_data.demo import emoji, pages, web
from diagonal_data.demo.site import ensure_site, held_out_concept
from diagonal_infra.errors import UserError

PORT = 8299


@pytest.fixture(scope="module")
def site(package_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "web"
    ensure_site(str(folder), str(package_cache), port=PORT)
    return folder


@pytest.fixture
def copy(site: Path, tmp_path: Path) -> Path:
    """The site in a folder that the test may change."""
    return Path(shutil.copytree(site, tmp_path / "web"))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def labels(site: Path) -> list[dict]:
    return pq.read_table(site / "labels.parquet").to_pylist()


def file_of(site: Path, url: str) -> Path:
    return site / url.removeprefix("http://").replace(f":{PORT}", "")


def of_kind(site: Path, kind: str) -> list[Path]:
    found = [file_of(site, row["url"]) for row in labels(site) if row["kind"] == kind]
    assert found, f"no entry of kind {kind}"
    return found


def planned(site: Path, kind: str) -> list[dict]:
    """What site.json says about the kind's addresses."""
    responses = json.loads((site / "site.json").read_text())["responses"]
    paths = [file_of(site, row["url"]) for row in labels(site) if row["kind"] == kind]
    by_file = {
        site / address / path.lstrip("/"): answer
        for address, answers in responses.items()
        for path, answer in answers.items()
    }
    return [by_file[path] for path in paths]


def test_two_builds_give_the_same_bytes(site: Path, package_cache: Path, tmp_path: Path) -> None:
    ensure_site(str(tmp_path / "web"), str(package_cache), port=PORT)
    assert digests(tmp_path / "web") == digests(site)


def test_a_finished_site_is_left_alone(copy: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    ensure_site(str(copy), str(tmp_path / "no-packages"), port=PORT)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_a_killed_build_is_finished(copy: Path, site: Path, package_cache: Path) -> None:
    (copy / "site.json").unlink()
    kept, lost, *_ = of_kind(copy, "drawing")
    lost.unlink()
    lost.with_name(f"{lost.name}.partial-1").write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    ensure_site(str(copy), str(package_cache), port=PORT)
    assert digests(copy) == digests(site)
    assert kept.stat().st_mtime_ns == before


def test_another_port_rewrites_the_pages_only(copy: Path, package_cache: Path) -> None:
    picture = of_kind(copy, "drawing")[0]
    before = picture.stat().st_mtime_ns
    ensure_site(str(copy), str(package_cache), port=PORT + 1)
    assert picture.stat().st_mtime_ns == before
    assert f":{PORT}/" not in (copy / web.ADDRESSES[0] / "index.html").read_text()


def test_a_smaller_site_replaces_a_larger(copy: Path, package_cache: Path) -> None:
    ensure_site(str(copy), str(package_cache), port=PORT, max_concepts=2)
    assert len({row["hexcode"] for row in labels(copy)}) == 2
    assert len(list(copy.glob("*/noto/*.*"))) == 2


def test_a_folder_of_something_else_is_refused(tmp_path: Path, package_cache: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="something else"):
        ensure_site(str(tmp_path), str(package_cache))
    assert (tmp_path / "thesis.txt").exists()


def test_every_drawing_is_on_the_web_once(site: Path) -> None:
    drawn = [(r["style"], r["hexcode"]) for r in labels(site) if r["kind"] == "drawing"]
    assert len(drawn) == len(set(drawn)) == 8 * 12


def test_faults_and_duplicates_show_training_styles_only(site: Path) -> None:
    assert {row["kind"] for row in labels(site) if row["held_out_style"]} == {"drawing"}


def test_addresses_carry_style_and_hexcode(site: Path) -> None:
    for row in labels(site):
        assert f"/{row['style']}/" in row["url"]
        assert f"/{row['hexcode']}-" in row["url"]


def test_pictures_are_what_their_names_say(site: Path) -> None:
    formats = Counter()
    for path in of_kind(site, "drawing"):
        with Image.open(path) as image:
            image.load()
            assert 96 <= image.width <= 640
            assert image.format is not None
            assert path.suffix == {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[image.format]
            formats[image.format] += 1
    assert formats["JPEG"] > formats["PNG"] + formats["WEBP"] > formats["PNG"] > 0


def test_each_image_is_linked_from_one_page(site: Path) -> None:
    linked = Counter()
    for page in site.glob("*/*/**/*.html"):
        for source in re.findall(r'src="([^"]*)"', page.read_text()):
            if source.endswith((".jpg", ".png", ".webp")) and "/assets/" not in source:
                own = source.split("//")[-1].replace(f":{PORT}", "")
                linked[page.relative_to(site).parts[0] + own if own[0] == "/" else own] += 1
    assert linked == Counter(
        row["url"].removeprefix("http://").replace(f":{PORT}", "") for row in labels(site)
    )


def test_a_copy_has_the_same_bytes_and_a_resized_one_has_not(site: Path) -> None:
    originals = {path.read_bytes() for path in of_kind(site, "drawing")}
    assert all(path.read_bytes() in originals for path in of_kind(site, "copy"))
    assert not any(path.read_bytes() in originals for path in of_kind(site, "resized"))


def test_truncated_files_do_not_decode(site: Path) -> None:
    for path in of_kind(site, "truncated"):
        with Image.open(io.BytesIO(path.read_bytes())) as image, pytest.raises(OSError):  # noqa: PT011  # Pillow's words differ by version
            image.load()


def test_files_that_are_no_images_are_named_like_images(site: Path) -> None:
    for path in of_kind(site, "not_image"):
        assert path.suffix == ".jpg"
        assert not path.read_bytes().startswith(b"\xff\xd8")


def test_missing_files_are_missing(site: Path) -> None:
    assert not any(path.exists() for path in of_kind(site, "gone"))


def test_redirects_lead_to_the_drawing(site: Path) -> None:
    for answer in planned(site, "moved"):
        assert answer["status"] in (301, 302)
        target = answer["headers"]["Location"]
        path = target.partition(f":{PORT}")[2] or target
        assert list(site.glob(f"*{path}"))


def test_two_redirects_lead_to_each_other(site: Path) -> None:
    urls = [row["url"] for row in labels(site) if row["kind"] == "loop"]
    targets = [answer["headers"]["Location"] for answer in planned(site, "loop")]
    assert urls == targets[::-1]
    assert len(urls) == 2


def test_errors_and_opt_outs_are_planned(site: Path) -> None:
    assert {answer["status"] for answer in planned(site, "error")} == {500}
    assert {a["headers"]["X-Robots-Tag"] for a in planned(site, "noai")} == {"noai"}
    assert all(path.is_file() for path in of_kind(site, "noai"))


def test_robots_disallows_a_page_and_images(site: Path) -> None:
    assert "Disallow: /private/" in (site / web.ADDRESSES[0] / "robots.txt").read_text()
    assert all("/private/" in str(path) for path in of_kind(site, "private"))
    hidden = of_kind(site, "private_page")[0]
    page = site / hidden.relative_to(site).parts[0] / "private/gallery.html"
    assert hidden.name in page.read_text()


def test_all_markups_and_the_noise_are_used(site: Path) -> None:
    text = "".join(page.read_text() for page in site.glob("*/gallery/**/*.html"))
    for mark in ("<figcaption>", "srcset=", "data-src=", "title=", 'alt="spacer"', 'alt="logo"'):
        assert mark in text
    with Image.open(site / web.ADDRESSES[0] / pages.BANNER.lstrip("/")) as banner:
        assert banner.width == 8 * banner.height


def test_captions_contain_the_label(package_cache: Path) -> None:
    drawings = emoji.read_drawings(package_cache)
    captions = [pages.caption_for(drawing) for drawing in drawings]
    assert all(d.concept.label in c for d, c in zip(drawings, captions, strict=True))
    assert captions == [pages.caption_for(drawing) for drawing in drawings]


def test_about_a_tenth_of_the_concepts_is_held_out() -> None:
    share = sum(held_out_concept(f"{code:x}") for code in range(0x1F000, 0x1F000 + 2000)) / 2000
    assert share == pytest.approx(0.1, abs=0.02)


def test_labels_name_the_held_out(site: Path) -> None:
    rows = labels(site)
    assert {r["style"] for r in rows if r["held_out_style"]} == set(emoji.HELD_OUT_STYLES)
    assert all(r["held_out_concept"] == held_out_concept(r["hexcode"]) for r in rows)
    assert any(r["held_out_concept"] for r in rows)
