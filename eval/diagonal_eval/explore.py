"""Look at a dataset in the browser: search its pictures by text with the model.

    python -m diagonal_eval.explore demo --port 8199

    /                     the search page
    /search?q=&show=      pictures by falling cosine with q, or candidates by reason
    /image/UID            stored bytes, read from the tar by their range

Listens on 127.0.0.1 only and answers only requests addressed to it (a foreign page cannot reach the
pictures through a name that it points here). Pictures are read when asked for; embeddings, captions
and uids are in memory.
"""

import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

from diagonal_eval.catalogue import Catalogue, open_catalogue
from diagonal_eval.config import ExploreConfig
from diagonal_eval.dataset import SUCCESS, iterate_images
from diagonal_eval.explore_page import Card, SearchForm, search_page
from diagonal_eval.recipes import EXPLORE
from diagonal_infra import log
from diagonal_infra.cli import run_command
from diagonal_infra.errors import StorageError, UserError

POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'"
MAX_QUERY_CHARS = 500
SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
logger = logging.getLogger(__name__)


def answer(catalogue: Catalogue, query: str, show: str, limit: int) -> str:
    """The page for a query among the samples, or among the candidates that failed for a reason."""
    if show == SUCCESS:
        cards = [
            Card(
                caption=sample.caption,
                lines=("" if np.isnan(cosine) else f"cosine {cosine:.3f}", sample.uid),
                picture_uid=sample.uid,
            )
            for sample, cosine in catalogue.search(query, limit)
        ]
    else:
        cards = [
            Card(caption=row.caption, lines=(row.reason, row.detail, row.url, row.uid))
            for row in catalogue.failed
            if row.reason == show and query.lower() in row.caption.lower()
        ][:limit]
    reasons = sorted({row.reason for row in catalogue.failed})
    form = SearchForm(query=query, show=show, choices=[SUCCESS, *reasons])
    return search_page(catalogue.dataset.root, catalogue.summary, form, cards)


class ExploreServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 from the start; `serve_forever` answers."""

    def __init__(self, catalogue: Catalogue, *, port: int, limit: int) -> None:
        self.catalogue = catalogue
        self.limit = limit
        try:
            super().__init__(("127.0.0.1", port), ExploreHandler)
        except OSError as error:
            raise UserError(f"cannot listen on port {port}: {error}; set another --port") from error


class ExploreHandler(BaseHTTPRequestHandler):
    """Answers GET for the three routes above."""

    server: ExploreServer  # pyright: ignore[reportIncompatibleVariableOverride]  # the base class knows BaseServer only

    def do_GET(self) -> None:
        """Route one request."""
        host, _, _ = self.headers.get("Host", "").partition(":")
        parts = urlsplit(self.path)
        if host not in {"127.0.0.1", "localhost"}:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif parts.path in {"/", "/search"}:
            asked = parse_qs(parts.query)
            query = asked.get("q", [""])[0][:MAX_QUERY_CHARS].strip()
            show = asked.get("show", [SUCCESS])[0]
            page = answer(self.server.catalogue, query, show, self.server.limit)
            self._send(page.encode(), "text/html; charset=utf-8")
        elif parts.path.startswith("/image/"):
            self._send_image(parts.path.removeprefix("/image/"))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Requests are logged at debug level only."""
        logger.debug(format, *args)

    def _send_image(self, uid: str) -> None:
        catalogue = self.server.catalogue
        sample = catalogue.sample_of.get(uid)
        if sample is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            image = next(iterate_images(catalogue.dataset, [sample]))
        except StorageError as error:
            logger.warning("picture not served uid=%s error=%s", uid, error)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        types = (name for mark, name in SIGNATURES.items() if image.startswith(mark))
        self._send(image, next(types, "application/octet-stream"))

    def _send(self, content: bytes, media_type: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)


def main(config: ExploreConfig) -> None:
    """Serve until Ctrl-C."""
    catalogue = open_catalogue(config)
    with ExploreServer(catalogue, port=config.port, limit=config.limit) as server:
        log.STDOUT.print(f"http://127.0.0.1:{server.server_address[1]}/  (Ctrl-C ends)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            logger.info("stopped")


if __name__ == "__main__":
    run_command(main, EXPLORE, description=__doc__)
