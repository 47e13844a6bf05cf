"""Whether the scanner of pages finds what a browser finds: real documentation against Chromium.

    apt-get download gimp-help-en python-skimage-doc freedombox-doc-en debian-handbook
    for package in *.deb; do dpkg -x $package out/pages; done

Each page is opened in headless Chromium with scripts and images off. From its document, by CSS
selectors and the browser's own attributes, the pairs (address of an image, one of its texts) are
taken by the rules of page_images.py, written anew below; recall is the share of these that the
scanner gives too, precision the share of the scanner's that are among these.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

from diagonal_data.candidates.page import MAX_PAGE_BYTES, read_page

CHROMIUM = "/usr/bin/chromium"
HOST = "http://pages.test/"
IN_BROWSER = """() => {
  const late = ['data-src', 'data-original', 'data-lazy-src', 'data-lazy', 'data-hi-res-src',
    'data-orig-file', 'data-large-file', 'data-full-url', 'data-img-src', 'data-echo'];
  const sets = ['data-srcset', 'data-lazy-srcset', 'srcset'];
  const file = /^[^:]+\\.(jpe?g|jfif|png|gif|webp|avif|bmp|tiff?)$/i;
  const absolute = address => {
    if (!address || !address.trim()) return null;
    try {
      const url = new URL(address.trim(), document.baseURI);
      return /^https?:$/.test(url.protocol) ? url.href : null;
    } catch { return null; }
  };
  const largest = texts => {
    let best = null, size = 0;
    for (const text of texts)
      for (const entry of text.split(/,\\s+/)) {
        const [url, descriptor] = entry.trim().split(/\\s+/);
        const value = descriptor ? parseFloat(descriptor) : 1;
        if (url && !url.startsWith('data:') && value > size) [best, size] = [url, value];
      }
    return best;
  };
  const setsOf = node => sets.map(name => node.getAttribute(name)).filter(Boolean);
  const address = image => {
    const href = image.closest('a[href]')?.getAttribute('href');
    if (href && file.test(href.split('#')[0].split('?')[0].split('/').pop())) return absolute(href);
    const before = [];
    if (image.parentElement?.localName == 'picture')
      for (const node of image.parentElement.querySelectorAll('source'))
        if (node.compareDocumentPosition(image) & Node.DOCUMENT_POSITION_FOLLOWING)
          before.push(...setsOf(node));
    return absolute(largest([...setsOf(image), ...before]))
      ?? late.map(name => absolute(image.getAttribute(name))).find(Boolean)
      ?? absolute(image.getAttribute('src'));
  };
  const captionOf = image => {
    const figure = image.closest('figure');
    const caption = [...(figure?.querySelectorAll('figcaption') ?? [])]
      .find(node => node.closest('figure') === figure);
    return caption?.textContent;
  };
  return [...document.querySelectorAll('img')].flatMap(image => {
    const url = address(image);
    const texts = [image.getAttribute('alt'), captionOf(image), image.getAttribute('title'),
      image.getAttribute('aria-label')];
    return url ? texts.filter(text => text && text.trim()).map(text => [url, text]) : [];
  });
}"""


def measure(folder: Path, *, most: int, seed: int = 0) -> dict[str, Any]:
    """Recall and precision over at most `most` pages of a folder."""
    pages = sorted(path for path in folder.rglob("*.html") if path.is_file())
    chosen = random.Random(seed).sample(pages, min(most, len(pages)))
    totals: Counter[str] = Counter(pages=len(chosen))
    odd: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(java_script_enabled=False)
        tab = context.new_page()
        tab.route("**/*", lambda route: answer(route, folder))
        for path in chosen:
            wanted = in_browser(tab, path, folder)
            given = ours(path, folder)
            totals.update(browser=wanted.total(), ours=given.total())
            totals["both"] += (wanted & given).total()
            if wanted != given:
                only = {"browser": list(wanted - given), "ours": list(given - wanted)}
                odd.append({"page": str(path.relative_to(folder)), **only})
        browser.close()
    return {
        **totals,
        "recall": totals["both"] / max(totals["browser"], 1),
        "precision": totals["both"] / max(totals["ours"], 1),
        "odd": odd,
    }


def answer(route: Route, folder: Path) -> None:
    """The page that was asked for, and nothing that it asks for."""
    path = folder / route.request.url.removeprefix(HOST)
    if route.request.resource_type != "document":
        route.abort()
        return
    # Cut as the scanner cuts it.
    body = path.read_bytes()[:MAX_PAGE_BYTES]
    route.fulfill(status=200, content_type="text/html", body=body)


def in_browser(tab: Page, path: Path, folder: Path) -> Counter[tuple[str, str]]:
    """The pairs that a browser's document has."""
    tab.goto(HOST + str(path.relative_to(folder)), wait_until="domcontentloaded")
    return counted(tab.evaluate(IN_BROWSER))


def ours(path: Path, folder: Path) -> Counter[tuple[str, str]]:
    """The pairs that the scanner finds in tags; metadata has no place in a document."""
    url = HOST + str(path.relative_to(folder))
    page = read_page(path.read_bytes(), url, with_links=False)
    return counted(
        (found.url, text)
        for found in page.found
        for text, source in zip(found.texts, found.sources, strict=True)
        if source not in ("og", "json-ld")
    )


def counted(pairs: Sequence[Sequence[str]] | Iterator[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Pairs, each once per page, with white space and escapes of no account."""
    return Counter({(plain_url(url), " ".join(text.split())) for url, text in pairs})


def plain_url(url: str) -> str:
    """One spelling for what browsers escape and urljoin leaves."""
    return url.replace("%20", " ").replace("%27", "'").replace("%22", '"')
