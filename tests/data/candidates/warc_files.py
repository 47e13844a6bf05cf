"""WARC and WAT files as crawlers write them, in memory."""

import gzip
import json
from typing import Any

PAGE = b"<img src=/a.jpg alt=fox>"


def record(kind: str, content: bytes, url: str = "http://x.test/", *, length: int = -1) -> bytes:
    """One record, its blank lines included."""
    size = len(content) if length < 0 else length
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Length: {size}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def response(
    page: bytes, *headers: str, status: str = "200 OK", kind: str = "text/html", url: str = "/"
) -> bytes:
    """A response record."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return record("response", head + page, f"http://x.test{url}")


def packed(*records: bytes) -> bytes:
    """A file of gzip members, one to a record."""
    return b"".join(gzip.compress(each) for each in records)


def wat_record(
    html: dict[str, Any] | None,
    *,
    url: str = "http://x.test/",
    status: str = "200",
    headers: dict[str, str] | None = None,
) -> bytes:
    """A metadata record about a response."""
    answer = {"Headers": headers or {}, "Response-Message": {"Status": status}}
    if html is not None:
        answer["HTML-Metadata"] = html
    envelope = {
        "WARC-Header-Metadata": {"WARC-Target-URI": url},
        "Payload-Metadata": {"HTTP-Response-Metadata": answer},
    }
    return record("metadata", json.dumps({"Envelope": envelope}).encode(), url)
