"""report.html as Chromium shows it, from disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.eval.suite_report.folders import ARABIC, CLASSES, HOSTILE, full_folder, picture

from diagonal_eval.suite_report.write import write_suite_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder, results = full_folder(tmp_path_factory.mktemp("suite") / "out")
    similarity = (CLASSES, np.eye(len(CLASSES)) * 0.6 + 0.2)
    paths = write_suite_report(str(folder), results, picture=picture, similarity=similarity)
    return Path(paths[0]).as_uri()


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, report: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page without a network; it must log nothing, ask nobody and raise no dialog."""
    context = browser.new_context(color_scheme=request.param, offline=True)
    page = context.new_page()
    trouble: list[str] = []

    def refuse(dialog: object) -> None:
        trouble.append(f"dialog {dialog}")
        dialog.dismiss()  # pyright: ignore[reportAttributeAccessIssue]  # a Dialog

    page.on("dialog", refuse)
    page.on("console", lambda said: trouble.append(said.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    allowed = (report, "data:")
    page.on("request", lambda r: None if r.url.startswith(allowed) else trouble.append(r.url))
    page.goto(report)
    yield page
    context.close()
    assert trouble == []


def test_every_section_is_there_and_every_plot_has_marks(page: Page) -> None:
    marks = {
        "accuracy": 3,
        "templates": 4,
        "robustness": 4,
        "calibration": 2,
        "groups": 2,
        "few-shot": 3,
        "class-design": 4,
    }
    for section, count in marks.items():
        assert page.locator(f"#{section} svg circle").count() == count, section
    assert page.locator("#accuracy .chance").count() == 2
    assert page.locator("#accuracy .whisker").count() == 3
    assert page.locator("#few-shot .whisker").count() == 3
    expect(page.locator("#class-design svg")).to_contain_text("40.0 → 10.0  n=40")
    assert page.locator("#robustness polyline").count() == 1
    expect(page.locator("#robustness h3")).to_contain_text("effective")
    expect(page.locator("#groups")).to_contain_text("20.0 points apart, 95 % [10.0, 30.0]")
    expect(page.locator("#calibration h3")).to_have_text("wds:/data/mini, ECE 7.0 % [3.0, 12.0]")
    assert page.locator("#similarity rect").count() == len(CLASSES) ** 2
    assert page.locator("#matrices rect").count() == len(CLASSES) ** 2
    expect(page.locator("#retrieval tbody tr")).to_have_count(2)
    expect(page.locator("#absent")).to_contain_text("fmow")
    expect(page.locator("#headline tbody tr")).to_have_count(4)


def test_pictures_load_and_missing_ones_are_said_to_be(page: Page) -> None:
    widths = page.evaluate(
        "() => Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert widths == [96, 96]
    assert page.locator("#confusions .none").all_inner_texts() == ["not shown"] * 2


def test_names_are_shown_to_the_letter(page: Page) -> None:
    expect(page.locator("#headline bdi").get_by_text(HOSTILE, exact=True)).to_have_count(1)
    expect(page.locator("#confusions bdi").get_by_text(ARABIC, exact=True)).to_have_count(1)
    assert page.locator("script").count() == 0
    assert page.evaluate("() => document.querySelectorAll('[onerror], [onload]').length") == 0


def test_the_page_is_no_wider_than_its_window(page: Page) -> None:
    page.set_viewport_size({"width": 900, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 900


def test_details_open_without_a_script(page: Page) -> None:
    first = page.locator("#details details").first
    first.locator("summary").click()
    expect(first).to_contain_text("2 pictures could not be read")
    expect(first).to_contain_text("Hardest classes")


def test_addresses_lose_their_passwords(page: Page) -> None:
    expect(page.locator("#provenance")).to_contain_text("s3://bucket/runs/a/checkpoints/step-1")
    assert "secret" not in page.content()
