"""A crawl of made-up pages in Common Crawl's form: pages.warc.gz and pages.wat.gz.

A page has about 63 kB of HTML, 110 links, 20 images (six in ten with alt, some in figures, links
and pictures), scripts that hold markup, and metadata. Of each page the WARC has request, response
and metadata, the WAT a record about each of these. One gzip member to a record.
"""

import gzip
import json
import random
from html import escape
from pathlib import Path
from typing import Any

TEXT = """
the a of and to in is for with on this that from by at as are photo image view new best guide how
our your more about read price free city house red blue green small large year world fox bicycle
harbour winter garden über naïve 日本 café привет 东京 mañana façade
"""
WORDS = TEXT.split()
SCRIPT = "".join(
    f"function f{i}(a,b){{var c=document.getElementById('x{i}');if(a<b&&c){{return a*{i}+b;}}"
    f'return \'<img src="/no/{i}.gif" alt="not real">\';}}\n'
    for i in range(60)
)
STYLE = "".join(f".c{i}{{margin:{i}px;color:#{i:06x}}}\n" for i in range(150))


def write_crawl(folder: Path, pages: int) -> None:
    """Write both files; the same ones each time, whole or not at all."""
    aside = folder.with_suffix(".partial")
    aside.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    with (
        (aside / "pages.warc.gz").open("wb") as warc,
        (aside / "pages.wat.gz").open("wb") as wat,
    ):
        for number in range(pages):
            url = f"https://www.site{number % 900}.example.com/blog/2024/{number}/"
            page, links, metas = made_page(chance, url, number)
            request = b"GET / HTTP/1.1\r\nUser-Agent: CCBot/2.0\r\n\r\n"
            head = f"Content-Type: text/html; charset=UTF-8\r\nContent-Length: {len(page)}\r\n"
            response = f"HTTP/1.1 200 OK\r\nServer: nginx\r\n{head}\r\n".encode() + page
            warc.write(record("request", url, request) + record("response", url, response))
            warc.write(record("metadata", url, b"fetchTimeMs: 100\r\n"))
            html = {"Head": {"Title": words(chance, 8), "Metas": metas}, "Links": links}
            answer = {"Response-Message": {"Status": "200"}, "HTML-Metadata": html}
            for payload in (
                {"HTTP-Request-Metadata": {"Headers": {"User-Agent": "CCBot/2.0"}}},
                {"HTTP-Response-Metadata": {"Headers": {"Server": "nginx"}, **answer}},
                {"WARC-Metadata-Metadata": {"Metadata-Records": []}},
            ):
                wat.write(record("metadata", url, envelope(url, payload)))
    aside.rename(folder)


def made_page(
    chance: random.Random, url: str, number: int
) -> tuple[bytes, list[dict[str, str]], list[dict[str, str]]]:
    """A page, and its links and metadata as a WAT has them."""
    metas = [{"property": "og:image", "content": f"{url}og.jpg"}]
    metas += [{"name": f"m{i}", "content": words(chance, 6)} for i in range(12)]
    tags = "".join(
        "<meta " + " ".join(f'{name}="{escape(value)}"' for name, value in meta.items()) + ">\n"
        for meta in metas
    )
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset=utf-8>{tags}'
        f"<title>{words(chance, 8)}</title><script>{SCRIPT}</script><style>{STYLE}</style></head>"
    ]
    links = []
    for place in range(max(10, int(chance.gauss(110, 35)))):
        text, address = words(chance, 4), f"/cat/{place}?p={number}&q=1"
        parts.append(
            f'<li class="menu-item item-{place}"><a class="lnk" href="{escape(address)}">'
            f"<span>{text}</span></a></li>"
        )
        links.append({"path": "A@/href", "url": address, "text": text})
    for place in range(max(0, int(chance.gauss(20, 7)))):
        alt = words(chance, chance.randrange(2, 16)) if chance.random() < 0.6 else ""
        address = image_address(chance, url, number, place)
        parts.append(in_context(chance, image_tag(address, alt, place), address))
        links.append({"path": "IMG@/src", "url": address, **({"alt": alt} if alt else {})})
        for _ in range(2):
            text = words(chance, chance.randrange(30, 110))
            parts.append(f'<p class="para p-{place}" style="margin:0">{text} <b>b</b> &amp; c.</p>')
    parts.append(f"<footer><script>{SCRIPT[:6_000]}</script></footer></body></html>")
    return "\n".join(parts).encode(), links, metas


def image_address(chance: random.Random, url: str, number: int, place: int) -> str:
    """Absolute, rooted or without a scheme."""
    host = url.split("/")[2]
    choices = (
        f"https://cdn{place % 3}.{host}/img/{number}_{place}_800x600.jpg",
        f"/wp-content/uploads/2024/{number}-{place}.png",
        f"//cdn.{host}/i/{number}/{place}.webp?w=800&h=600",
    )
    return chance.choices(choices, (5, 3, 2))[0]


def image_tag(address: str, alt: str, place: int) -> str:
    """The image's own tag."""
    src = escape(address)
    return (
        f'<img class="img-{place} lazy size-full" width="800" height="600" src="{src}" '
        f'srcset="{src} 1x, {src}&amp;x=2 2x" loading="lazy" alt="{escape(alt)}">'
    )


def in_context(chance: random.Random, tag: str, address: str) -> str:
    """In a figure, a link, a picture or nothing."""
    caption = words(chance, 12)
    choices = (
        f'<figure class="wp-block">{tag}<figcaption>{caption}</figcaption></figure>',
        f'<a href="{escape(address)}">{tag}</a>',
        f'<picture><source srcset="{escape(address)}.avif" type="image/avif">{tag}</picture>',
        tag,
    )
    return chance.choices(choices, (3, 2, 1, 4))[0]


def envelope(url: str, payload: dict[str, Any]) -> bytes:
    """A record of a WAT."""
    known = {"WARC-Header-Metadata": {"WARC-Type": "response", "WARC-Target-URI": url}}
    about = {"Payload-Metadata": payload, **known}
    made = {"Container": {"Filename": "x.warc.gz"}, "Envelope": about}
    return json.dumps(made, ensure_ascii=False).encode()


def record(kind: str, url: str, content: bytes) -> bytes:
    """A packed record."""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
    head += f"Content-Length: {len(content)}\r\n\r\n"
    return gzip.compress(head.encode() + content + b"\r\n\r\n", 6)


def words(chance: random.Random, number: int) -> str:
    """So many words."""
    return " ".join(chance.choices(WORDS, k=number))
