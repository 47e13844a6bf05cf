"""The WARC files of a crawl: for other tools, and for itself after a kill."""

import gzip
from pathlib import Path

import pytest
from fastwarc.warc import (  # pyright: ignore[reportMissingModuleSource]  # compiled
    ArchiveIterator,
    WarcRecordType,
)

from diagonal_data.candidates import site_warc
from diagonal_data.candidates.site_warc import CrawlLog, Visit, warc_files
from diagonal_data.response import Response

AGENT = "diagonal/0.1 (+https://example.org/bot)"


def answer(url: str, body: bytes = b"<p>fox", **headers: str) -> Response:
    return Response(url=url, final_url=url, http_status=200, body=body, headers=headers)


def visit(number: int) -> Visit:
    url = f"http://a.test/{number}"
    return Visit(url=url, outcome="read", links=[f"{url}/b c", "http://a.test/ü"])


def write(folder: Path, *numbers: int) -> None:
    with CrawlLog(folder, AGENT) as log:
        for number in numbers:
            log.add(visit(number), answer(visit(number).url, b"body %d" % number))


def targets(folder: Path) -> list[str]:
    found = []
    for path in warc_files(folder):
        with path.open("rb") as file:
            responses = ArchiveIterator(file, record_types=WarcRecordType.response)
            found += [record.headers["WARC-Target-URI"] for record in responses]
    return found


def test_another_reader_finds_requests_and_responses(tmp_path: Path) -> None:
    response = answer("http://a.test:81/x?q=ä", b"<p>\0fox", **{"content-type": "text/html"})
    with CrawlLog(tmp_path, AGENT) as log:
        log.add(Visit(url=response.url, outcome="read"), response)
    (path,) = warc_files(tmp_path)
    assert path.name == "site-00000.warc.gz"
    with path.open("rb") as file:
        records = [
            (record.headers["WARC-Type"], dict(record.headers), record.reader.read())
            for record in ArchiveIterator(file, parse_http=False)
        ]
    assert [kind for kind, *_ in records] == ["warcinfo", "request", "response", "metadata"]
    _, request, block = records[1]
    assert block.startswith(b"GET /x?q=%C3%A4 HTTP/1.1\r\nHost: a.test:81\r\n")
    _, head, _ = records[2]
    assert request["WARC-Concurrent-To"] == head["WARC-Record-ID"]
    assert head["WARC-Target-URI"] == response.final_url
    with path.open("rb") as file:
        record = next(ArchiveIterator(file, record_types=WarcRecordType.response))
        assert record.http_headers.status_code == 200
        assert record.http_content_type == "text/html"
        assert record.reader.read() == b"<p>\0fox"


def test_what_the_client_undid_is_not_claimed(tmp_path: Path) -> None:
    given = {"content-encoding": "gzip", "transfer-encoding": "chunked", "content-length": "9"}
    given |= {"set-cookie": "id=1", "x-robots-tag": "noarchive\r\nevil: 1"}
    with CrawlLog(tmp_path, AGENT) as log:
        log.add(visit(1), answer(visit(1).url, b"x" * 77, **given), whole=False)
    with warc_files(tmp_path)[0].open("rb") as file:
        (record,) = ArchiveIterator(file, record_types=WarcRecordType.response)
        assert dict(record.http_headers) == {
            "x-robots-tag": "noarchive evil: 1",
            "content-length": "77",
        }
        assert record.headers["WARC-Truncated"] == "length"


def test_a_visit_is_found_again_as_it_was(tmp_path: Path) -> None:
    failed = Visit(url="http://a.test/9", outcome="timed_out", detail="after\n20 s: slow")
    with CrawlLog(tmp_path, AGENT) as log:
        log.add(visit(1), answer(visit(1).url))
        log.add(failed)
        assert log.visit_of(visit(1).url) == visit(1)
    with CrawlLog(tmp_path, AGENT) as log:
        assert log.visit_of(visit(1).url) == visit(1)
        found = log.visit_of(failed.url)
        assert found is not None
        assert (found.outcome, found.detail) == ("timed_out", "after 20 s: slow")
        assert log.visit_of("http://a.test/other") is None
        log.add(Visit(url=failed.url, outcome="read"), answer(failed.url))
    with CrawlLog(tmp_path, AGENT) as log:
        found = log.visit_of(failed.url)
        assert found is not None
        assert found.outcome == "read"


def test_wherever_a_kill_cut_the_file_off_it_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "whole", 1, 2)
    (whole,) = warc_files(tmp_path / "whole")
    content = whole.read_bytes()
    urls = [visit(n).url for n in (1, 2, 3)]
    for length in range(0, len(content) + 1, 7):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / whole.name).write_bytes(content[:length])
        with CrawlLog(folder, AGENT) as log:
            known = [log.visit_of(url) is not None for url in urls]
            for number, is_known in zip((1, 2, 3), known, strict=True):
                if not is_known:
                    log.add(visit(number), answer(visit(number).url, b"body %d" % number))
        assert known == sorted(known, reverse=True)
        assert targets(folder) == urls, length
        assert gzip.decompress((folder / whole.name).read_bytes()).count(b"Type: warcinfo") == 1


def test_a_damaged_record_ends_what_is_known(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    (path,) = warc_files(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with CrawlLog(tmp_path, AGENT) as log:
        assert log.visit_of(visit(1).url) == visit(1)
        assert log.visit_of(visit(3).url) is None
    write(tmp_path, 3)
    assert targets(tmp_path)[-1] == visit(3).url


def test_a_full_file_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_warc, "FILE_BYTES", 2_000)
    write(tmp_path, *range(6))
    write(tmp_path, *range(6, 9))
    assert len(warc_files(tmp_path)) > 2
    assert targets(tmp_path) == [visit(n).url for n in range(9)]
    with CrawlLog(tmp_path, AGENT) as log:
        assert all(log.visit_of(visit(n).url) == visit(n) for n in range(9))
