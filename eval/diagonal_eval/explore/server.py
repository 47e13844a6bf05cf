"""The application and its socket.

Listens on 127.0.0.1 only, answers only requests addressed to it (a foreign page cannot reach the
pictures through a name that it points here) and none that a foreign page makes a browser send.
Nothing in a page may run or load but the explorer's own files.
"""

import logging
import socket
from collections.abc import Awaitable, Callable

import pyarrow as pa
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from diagonal_eval.explore.explorer import Explorer
from diagonal_eval.explore.pages import build_router, render
from diagonal_eval.explore.snapshot import NotThereError
from diagonal_infra.errors import DiagonalError, UserError

HOSTS = ("127.0.0.1", "localhost")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # What is taken down must not stay in the browser.
    "Cache-Control": "no-store",
}
UNREADABLE = (pa.ArrowException, OSError)
"""What a damaged or missing file of the dataset raises; the message names it."""
logger = logging.getLogger(__name__)


def build_app(explorer: Explorer) -> FastAPI:
    """The pages of a dataset."""
    # The pages that FastAPI makes of the schema load scripts from elsewhere.
    app = FastAPI(
        title="Diagonal explorer", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    app.state.explorer = explorer
    app.include_router(build_router())
    app.middleware("http")(_guarded)
    for kind in (DiagonalError, RequestValidationError, HTTPException, *UNREADABLE):
        app.add_exception_handler(kind, _refused)
    return app


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1.

    Raises:
        UserError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        # From here on a browser waits, and is not turned away.
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(f"cannot listen on port {port}: {error}; set another --port") from error
    return listener


def build_server(app: FastAPI) -> uvicorn.Server:
    """What answers on the socket; `should_exit` ends it."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))


async def _guarded(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    host = request.headers.get("host", "").rpartition(":")
    name = host[0] if host[1] else host[2]
    if name not in HOSTS:
        response: Response = PlainTextResponse("not addressed to this server", 421)
    elif _is_foreign(request):
        response = PlainTextResponse("asked for by another site", 403)
    else:
        response = await call_next(request)
    response.headers.update(HEADERS)
    return response


def _is_foreign(request: Request) -> bool:
    """Whether a page of another origin made the browser ask, other than by a link followed."""
    site = request.headers.get("sec-fetch-site", "none")
    followed = request.headers.get("sec-fetch-mode") == "navigate"
    return site not in ("same-origin", "none") and not followed


def _refused(request: Request, error: Exception) -> Response:
    """An error as JSON, or as a page."""
    status, message = _status_and_message(error)
    if status >= 500:
        logger.warning("not served path=%s error=%s", request.url.path, message)
    if request.url.path.startswith(("/api", "/picture")):
        return JSONResponse({"error": message}, status)
    has_model = bool(request.app.state.explorer.model_name)
    return HTMLResponse(render("error", has_model, status=status, message=message), status)


def _status_and_message(error: Exception) -> tuple[int, str]:
    if isinstance(error, NotThereError):
        return 404, str(error)
    if isinstance(error, UserError):
        return 400, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where, *names = first["loc"]
        status = 404 if where == "path" else 400
        return status, f"{'.'.join(map(str, names))}: {first['msg']}"
    return 500, str(error)
