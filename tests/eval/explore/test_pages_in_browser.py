"""The pages as Chromium shows them: one browser and one server for all."""

import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect
from tests.eval.explore.worlds import HOSTILE, HOSTILE_URL, World

from diagonal_eval.explore.explorer import Explorer
from diagonal_eval.explore.pages import PAGES
from diagonal_eval.explore.server import build_app, build_server, listen


@pytest.fixture(scope="module")
def address(explorer: Explorer) -> Iterator[str]:
    with listen(0) as listener:
        server = build_server(build_app(explorer))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that must raise no dialog, log no error and ask nobody else."""
    page = browser.new_page(base_url=address)
    trouble: list[str] = []

    def refuse(dialog: object) -> None:
        trouble.append(f"dialog {dialog}")
        dialog.dismiss()  # pyright: ignore[reportAttributeAccessIssue]  # a Dialog

    page.on("dialog", refuse)
    page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(address) else trouble.append(r.url))
    yield page
    page.close()
    assert trouble == []


def captions(page: Page, inside: str = "main") -> list[str]:
    shown = page.locator(f"{inside} figcaption").all()
    return [caption.evaluate("node => node.firstChild.textContent.trim()") for caption in shown]


def test_a_search_by_text_shows_pictures(page: Page) -> None:
    page.goto("/")
    page.get_by_label("text").fill("a blue square")
    page.get_by_role("button", name="Search by text").click()
    expect(page.locator("figure").first).to_contain_text("blue square")
    expect(page.locator("figure").first).to_contain_text("cosine")
    loaded = page.locator("figure img").first.evaluate("i => i.decode().then(() => i.naturalWidth)")
    assert loaded == 20


def test_a_search_by_sql_leads_to_a_sample_and_back_to_its_shard(page: Page, world: World) -> None:
    page.goto("/")
    page.get_by_label("condition").fill("width = 23 and caption like 'a %'")
    page.get_by_role("button", name="Search by SQL").click()
    expect(page.locator("#matches")).to_have_text("1 samples match.")
    page.locator("figure a").click()
    (row,) = [r for r in world.samples if r["width"] == 23 and r["caption"].startswith("a ")]
    expect(page.locator("h1")).to_have_text(row["uid"])
    expect(page.locator("table").first).to_contain_text(row["url"])
    expect(page.locator("main")).to_contain_text("exact_cluster")
    page.get_by_role("link", name="shard 00000000").click()
    expect(page.locator("h1")).to_have_text("Shard 00000000")


def test_the_slider_updates_share_and_pictures(page: Page, world: World) -> None:
    widths = sorted(row["width"] for row in world.samples)
    page.goto("/histogram?column=width")
    share = page.locator("#share")
    expect(share).to_have_attribute("data-state", "exact")
    # What stands there at once comes from the histogram, before the server has answered.
    at_once = page.evaluate(
        "() => { const s = document.getElementById('slider'); s.value = 1000;"
        "s.dispatchEvent(new Event('input'));"
        "const o = document.getElementById('share'); return [o.dataset.state, o.textContent]; }"
    )
    assert at_once[0] == "estimated"
    assert at_once[1].startswith(f"{100 * widths.count(widths[-1]) / len(widths):.2f} %")
    expect(share).to_have_attribute("data-state", "exact")
    assert float(page.locator("#threshold").input_value()) == widths[-1]
    assert len(captions(page, "#above")) == 1
    page.locator("#threshold").fill("30")
    kept = sum(width >= 30 for width in widths)
    expect(share).to_have_text(f"{100 * kept / len(widths):.2f} % ({kept})")
    expect(share).to_have_attribute("data-state", "exact")
    above = page.locator("#above small").all_inner_texts()
    assert above[0] == f"width {next(w for w in widths if w >= 30):.3f}"
    assert page.locator("#below figure").count() == min(12, len(widths) - kept)


def test_hostile_text_is_shown_to_the_letter_on_every_page(
    page: Page, client: TestClient, world: World
) -> None:
    uid = world.hostile["uid"]
    query = f"q={quote(HOSTILE)}&where=caption%20like%20'%25script%25'&a=first&b=second&uid={uid}"
    for path in PAGES:
        page.goto(f"{path.format(name='00000000', uid=uid)}?{query}")
    page.goto("/sql?where=caption%20like%20'%25script%25'")
    assert captions(page) == [HOSTILE]
    page.goto(f"/sample/{uid}")
    expect(page.locator("p.caption")).to_have_text(HOSTILE)
    expect(page.locator("main")).to_contain_text(HOSTILE_URL)
    assert page.locator("a[href^='javascript']").count() == 0
    page.goto("/histogram?column=width")
    page.locator("#threshold").fill("118")
    expect(page.locator("#above figcaption").first).to_contain_text(HOSTILE)


def test_labels_are_typed_and_ranked(page: Page, world: World) -> None:
    uid = next(row["uid"] for row in world.samples if row["colour"] == "green square")
    page.goto(f"/sample/{uid}")
    page.get_by_role("link", name="zero-shot", exact=True).click()
    page.get_by_label("Labels, one a line").fill("red square\ngreen square\n<b>bold</b>")
    page.get_by_label("Scale of the logits").fill("20")
    page.get_by_role("button", name="Rank").click()
    rows = page.locator("#ranking tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("green square")
    assert "<b>bold</b>" in page.locator("#ranking").inner_text()
    shares = [
        float(text.split()[0])
        for text in page.locator("#ranking td:nth-child(2)").all_inner_texts()
    ]
    assert abs(sum(shares) - 100) < 0.2


def test_the_matrix_is_brightest_on_the_diagonal(page: Page) -> None:
    page.goto("/matrix")
    page.get_by_label("Shard").fill("00000001")
    page.get_by_label("Count").fill("8")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#matrix td")).to_have_count(64)
    own = page.locator("#matrix td.own")
    expect(own).to_have_count(8)
    assert all(float(text) > 0.95 for text in own.all_inner_texts())
    background = own.first.evaluate("cell => getComputedStyle(cell).backgroundColor")
    assert background not in ("rgba(0, 0, 0, 0)", "")


def test_two_filters_are_compared(page: Page) -> None:
    page.goto("/diff")
    page.get_by_label("filter a").select_option("first")
    page.get_by_label("filter b").select_option("second")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#only_a h2")).to_have_text("only in first: 10")
    expect(page.locator("#both h2")).to_have_text("in both: 6")
    assert page.locator("#only_b figure").count() == 4
    expect(page.locator(".problem")).to_contain_text("second lists 1 uids that are no sample")


def test_clusters_lead_to_their_members(page: Page) -> None:
    page.goto("/clusters")
    first = page.locator(".cluster").first
    size = int(first.locator("h2").inner_text().split()[0])
    first.locator("h2 a").click()
    expect(page.locator("#matches")).to_have_text(f"{size} samples match.")
    expect(page.locator("figure")).to_have_count(size)


def test_a_refusal_is_a_page_that_says_why(browser: Browser, address: str) -> None:
    page = browser.new_page(base_url=address)
    answer = page.goto("/sql?where=nothing%20%3E%203")
    assert answer is not None
    assert answer.status == 400
    expect(page.get_by_role("alert")).to_contain_text("no column 'nothing'")
    for path in ("/shard/..%2F..%2Fetc", "/diff?a=..%2F..&b=first", "/picture/..%2Fmanifest.json"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404
    page.close()
