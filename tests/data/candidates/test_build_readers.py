"""The whole way from pages and crawls to parts."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.data.candidates.built import funnel, rows_of

from diagonal_data.candidates.build import build
from diagonal_data.candidates.config import CandidatesConfig, Reader

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer


def config(reader: Reader, *patterns: str, output: Path) -> CandidatesConfig:
    return CandidatesConfig(
        reader=reader, input=patterns, output=str(output), detect_language=False, local=True
    )


PAGE = '<html lang=en><img src="{}.png" alt="a {} on a hill"><a href="/b">b</a>'


def test_a_site_its_warc_and_its_pages_give_the_same_images(
    tmp_path: Path, server: "HostileServer"
) -> None:
    server.put_page("/", PAGE.format("fox", "fox"))
    server.put_page("/b", PAGE.format("owl", "owl"))
    site = config("site", server.url("/"), output=tmp_path / "site")
    site = replace(site, allow_hosts=(server.host,))
    build(site)
    crawled = rows_of(site.output)
    assert [row["caption"] for row in crawled] in (
        ["a fox on a hill", "a owl on a hill"],
        ["a owl on a hill", "a fox on a hill"],
    )
    assert {row["page_url"] for row in crawled} == {server.url("/"), server.url("/b")}
    assert funnel(site.output)["pages"]["read"] == 2
    asked = len(server.requests)
    build(replace(site, clean="web"))
    assert len(server.requests) == asked

    warc = config("warc", f"{site.output}/site/*.warc.gz", output=tmp_path / "warc")
    build(warc)
    assert rows_of(warc.output) == crawled

    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE.format("fox", "fox"))
    (folder / "b.html").write_text(PAGE.format("owl", "owl"))
    html = config("html", str(folder), output=tmp_path / "html")
    build(replace(html, base_url=server.url("/")))
    assert {row["url"] for row in rows_of(html.output)} == {row["url"] for row in crawled}


def wat_record(number: int) -> bytes:
    links = [{"path": "IMG@/src", "url": f"/{number}.png", "alt": f"a fox number {number}"}]
    metadata = {"HTML-Metadata": {"Links": links}, "Response-Message": {"Status": "200"}}
    envelope = {
        "WARC-Header-Metadata": {
            "WARC-Type": "response",
            "WARC-Target-URI": f"http://h{number}.test/p",
        },
        "Payload-Metadata": {"HTTP-Response-Metadata": metadata},
    }
    body = json.dumps({"Envelope": envelope}).encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://h{number}.test/p\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n")


def test_a_wat_file_is_read_around_its_damage_and_by_several_units(tmp_path: Path) -> None:
    records = [wat_record(number) for number in range(40)]
    records[7] = records[7][:30] + bytes(20) + records[7][50:]
    (tmp_path / "c.wat.gz").write_bytes(b"".join(records) + wat_record(40)[:100])
    given = config("wat", str(tmp_path / "c.wat.gz"), output=tmp_path / "one")
    build(given)
    urls = {row["url"] for row in rows_of(given.output)}
    assert urls == {f"http://h{number}.test/{number}.png" for number in range(40) if number != 7}
    pages = funnel(given.output)["pages"]
    assert (pages["read"], pages["bad_record"], pages["truncated"]) == (39, 1, 1)
    shared = replace(given, output=str(tmp_path / "many"))
    # Smaller than the configuration allows, so that a small file has several units.
    object.__setattr__(shared, "unit_bytes", 1_500)
    build(shared)
    assert len(list(Path(shared.output, "read").glob("*.parquet"))) > 3
    assert funnel(shared.output) == funnel(given.output)
    assert rows_of(shared.output) == rows_of(given.output)
