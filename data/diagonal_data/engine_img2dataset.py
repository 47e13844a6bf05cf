"""Fetch and decode with img2dataset's own Downloader and Resizer, behind our unit contract.

For teams that want the field's usual pixels, and as the yardstick for the native engine. URLs and
robots.txt are judged by our rules first; then img2dataset asks through urllib's global opener, in
whose place stands ours: http and https only, no proxies, and on every hop a connection only to an
address that our rules admit. What remains of img2dataset's ways: no limit per host holds, it knows
neither Retry-After nor opt-out headers other than X-Robots-Tag, robots.txt is not asked again where
a redirect leads, there is no total deadline and no limit on the body, it decodes before it knows
the size, and ignores EXIF orientation. Its errors are texts; `reason_of` maps them to our closed
set.
"""

import os

# It is read when albumentations is imported, which otherwise asks the internet for a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import asyncio
import contextlib
import http.client
import io
import re
import socket
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from diagonal_data import addresses, robots
from diagonal_data.block_lists import BlockLists, load_block_lists
from diagonal_data.config import ShardsConfig
from diagonal_data.decode import StoredImage
from diagonal_data.fetch import Fetcher
from diagonal_data.outcome import Deliver, Outcome
from diagonal_data.phash import phash
from diagonal_data.schema import Candidate, Reason
from diagonal_infra.shared import Shared


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """`import torch` fails inside the block, as on a machine without it."""
    if "torch" in sys.modules:
        yield
        return
    # None makes an import fail and find_spec say that there is no such module.
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]  # documented, not in typeshed
    try:
        yield
    finally:
        del sys.modules["torch"]


# albumentations imports torch if it can, which costs a data worker 200 MB and seconds.
with _without_torch():
    from img2dataset.downloader import Downloader
    from img2dataset.resizer import Resizer

Connect = Callable[[str, int, float], socket.socket]
ERROR_PATTERNS = (
    (re.escape(addresses.NO_CONTACT), Reason.CONTACT_MISSING),
    (r"not a public address|an unusual spelling of an address", Reason.ADDRESS_REFUSED),
    (r"Redirection to url .* is not allowed|unknown url type", Reason.SCHEME_REFUSED),
    (r"HTTP Error (404|410)", Reason.NOT_FOUND),
    (r"HTTP Error (401|403|451)", Reason.FORBIDDEN),
    (r"HTTP Error 429", Reason.RATE_LIMITED),
    (r"HTTP Error 4\d\d", Reason.HTTP_CLIENT_ERROR),
    (r"HTTP Error 5\d\d", Reason.HTTP_SERVER_ERROR),
    (r"infinite loop|HTTP Error 30\d", Reason.TOO_MANY_REDIRECTS),
    (r"X-Robots-Tag", Reason.OPTED_OUT),
    (r"timed out", Reason.TIMED_OUT),
    (r"Name or service not known|name resolution|getaddrinfo|no host name", Reason.DNS_FAILED),
    (r"IncompleteRead", Reason.BODY_INCOMPLETE),
    (r"urlopen error|Connection|Remote end closed|Errno 104", Reason.CONNECT_FAILED),
    (r"image too small", Reason.IMAGE_TOO_SMALL),
    (r"image area too large", Reason.TOO_MANY_PIXELS),
    (r"!buf.empty|buf.empty", Reason.EMPTY_BODY),
    (r"Image decoding error", Reason.NOT_AN_IMAGE),
)
"""Tried in order; the first match decides, `engine_failed` otherwise."""
UNBLURRED = Outcome(
    reason=Reason.ENGINE_FAILED, detail="faces to blur, which --engine native can do"
)
"""No face that is listed is stored as it is."""


def fetch_and_decode(
    candidates: Sequence[Candidate], config: ShardsConfig, ledger: Shared, deliver: Deliver
) -> None:
    """One outcome per candidate; see `outcome.Engine`."""
    urls = [candidate.url for candidate in candidates]
    refused = asyncio.run(_refusals(urls, config, ledger))
    for index, candidate in enumerate(candidates):
        if candidate.face_bboxes and refused[index] is None:
            refused[index] = UNBLURRED
    for index, outcome in enumerate(refused):
        if outcome is not None:
            deliver(index, outcome)
    admitted = [index for index, outcome in enumerate(refused) if outcome is None]
    records = _download([urls[index] for index in admitted], config)
    block = load_block_lists(config.block)
    for index, record in zip(admitted, records, strict=True):
        deliver(index, _unless_blocked(_outcome(record), block))


def _unless_blocked(outcome: Outcome, block: BlockLists) -> Outcome:
    image, sha256 = outcome.image, outcome.sha256
    if image is None or not (sha256 in block.sha256 or block.names_picture(image.phash)):
        return outcome
    return replace(outcome, image=None, reason=Reason.BLOCKED_IMAGE)


def reason_of(message: str) -> Reason:
    """img2dataset's error text as one of our reasons."""
    for pattern, reason in ERROR_PATTERNS:
        if re.search(pattern, message):
            return reason
    return Reason.ENGINE_FAILED


class _CheckedConnection(http.client.HTTPConnection):
    """Connects to what our rules admit, whatever the URL or the redirect before it said."""

    def __init__(self, host: str, *, connect: Connect, **kept: Any) -> None:
        super().__init__(host, **kept)
        self._connect = connect

    def connect(self) -> None:
        assert self.timeout is not None, "img2dataset gives one"
        self.sock: socket.socket = self._connect(self.host, self.port, self.timeout)


class _CheckedTlsConnection(_CheckedConnection):
    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, *, tls: ssl.SSLContext, **kept: Any) -> None:
        super().__init__(host, **kept)
        self._tls = tls

    def connect(self) -> None:
        super().connect()
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)


class _CheckedHandler(urllib.request.AbstractHTTPHandler):
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connection = partial(_CheckedConnection, connect=connect)
        tls = ssl.create_default_context()
        self._tls_connection = partial(_CheckedTlsConnection, connect=connect, tls=tls)

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, request)  # pyright: ignore[reportArgumentType]  # called with host and timeout

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._tls_connection, request)  # pyright: ignore[reportArgumentType]  # called with host and timeout


def checked_opener(
    allow_hosts: Collection[str], *, has_contact: bool
) -> urllib.request.OpenerDirector:
    """Opens http(s) URLs and follows redirects; each connection goes to an admitted address.

    Built from nothing: the handlers that `build_opener` adds know proxies, file:, ftp: and data:.
    """
    connect = partial(addresses.connect, allow_hosts=allow_hosts, has_contact=has_contact)
    opener = urllib.request.OpenerDirector()
    for handler in (
        _CheckedHandler(connect),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


async def _refusals(
    urls: Sequence[str], config: ShardsConfig, ledger: Shared
) -> list[Outcome | None]:
    """What our rules refuse before img2dataset is asked; None for an admitted URL."""
    block = load_block_lists(config.block)
    async with Fetcher(config.fetch, config.allow_hosts, ledger=ledger, block=block) as fetcher:
        verdicts = await asyncio.gather(*map(fetcher.admit, urls))
    return [
        None
        if verdict is None
        else Outcome(reason=verdict.reason, detail=verdict.detail, robots=verdict.robots)
        for verdict in verdicts
    ]


def _download(urls: Sequence[str], config: ShardsConfig) -> list[dict[str, Any]]:
    """One record per URL, in order: img2dataset's columns, `content` for the image bytes."""
    if not urls:
        return []
    collected: dict[int, dict[str, Any]] = {}

    class Collector:
        """Stands where img2dataset expects a file writer."""

        def __init__(self, *_: object) -> None: ...

        def write(
            self, content: bytes | None, key: str, caption: str | None, meta: dict[str, Any]
        ) -> None:
            collected[int(key)] = meta | {"content": content}

        def close(self) -> None: ...

    with tempfile.TemporaryDirectory() as folder:
        listed = pa.table({"url": list(urls)})
        path = Path(folder) / "urls.feather"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, listed.schema) as writer:
            writer.write_table(listed)
        downloader = _downloader(Collector, folder, len(urls), config)
        started = time.monotonic()
        opener = checked_opener(config.allow_hosts, has_contact=bool(config.fetch.contact))
        urllib.request.install_opener(opener)
        downloader.download_shard((0, str(path)))
        # Not after an error: threads of img2dataset may still be asking then.
        urllib.request.install_opener(urllib.request.build_opener())
    share_ms = int(1000 * (time.monotonic() - started) / len(urls))
    # img2dataset loses a row whose handling raised; it still ends as a row of ours.
    lost = {"content": None, "error_message": "img2dataset lost the row"}
    return [collected.get(i, lost) | {"fetch_ms": share_ms} for i in range(len(urls))]


def _downloader(collector: type, folder: str, count: int, config: ShardsConfig) -> Downloader:
    decode = config.decode
    resizer = Resizer(
        image_size=config.image_size,
        resize_mode=decode.resize_mode,
        resize_only_if_bigger=decode.only_if_bigger,
        encode_quality=6 if decode.format == "png" else decode.quality,
        encode_format=decode.format,
        min_image_size=decode.min_side,
        max_image_area=decode.max_pixels,
    )
    opt_outs = sorted(robots.OPT_OUT_DIRECTIVES)
    return Downloader(
        sample_writer_class=collector,
        resizer=resizer,
        thread_count=min(config.fetch.max_in_flight, count),
        save_caption=False,
        extract_exif=False,
        output_folder=folder,
        column_list=["url"],
        timeout=config.fetch.timeout_seconds,
        number_sample_per_shard=max(count, 2),
        oom_shard_count=1,
        compute_hash="sha256",
        verify_hash_type=None,
        encode_format=decode.format,
        retries=0,
        user_agent_token=config.fetch.robots_agent,
        disallowed_header_directives=opt_outs if config.fetch.respect_opt_out else None,
    )


def _outcome(record: dict[str, Any]) -> Outcome:
    robots, fetch_ms = "allowed", record["fetch_ms"]
    if record["content"] is None:
        message = record["error_message"] or ""
        status = re.search(r"HTTP Error (\d{3})", message)
        return Outcome(
            reason=reason_of(message),
            detail=message[:200],
            http_status=int(status[1]) if status else None,
            fetch_ms=fetch_ms,
            robots=robots,
        )
    with Image.open(io.BytesIO(record["content"])) as image:
        pixels = np.asarray(image.convert("RGB"))
    stored = StoredImage(
        content=record["content"],
        width=record["width"],
        height=record["height"],
        original_width=record["original_width"],
        original_height=record["original_height"],
        phash=phash(pixels),
    )
    return Outcome(
        image=stored, http_status=200, fetch_ms=fetch_ms, sha256=record["sha256"], robots=robots
    )
