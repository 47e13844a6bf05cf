"""Every page and its JSON twin: /NAME shows what /api/NAME gives; and the pictures.

A page is a function that takes the query's fields, checked and bounded by their types, and returns
what both are made of.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from diagonal_eval.explore import browse, compare, model_pages
from diagonal_eval.explore.asked import At, Explore, Found, Uid
from diagonal_eval.explore.cards import picture
from diagonal_eval.page_templates import environment
from diagonal_infra.html_page import CSS

HERE = Path(__file__).parent
PAGES: Mapping[str, Callable[..., Found]] = {
    "/": browse.overview,
    "/shards": browse.shards,
    "/shard/{name}": browse.shard,
    "/failed": browse.failed,
    "/text": browse.text,
    "/like/{uid}": browse.like,
    "/sql": browse.sql,
    "/sample/{uid}": browse.sample,
    "/histogram": compare.histogram,
    "/diff": compare.diff,
    "/clusters": compare.clusters,
    "/zeroshot": model_pages.zeroshot,
    "/matrix": model_pages.matrix,
}
"""By path; a page's template has the name of its function."""
SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
STATIC = {
    "explore.css": ("text/css", lambda: CSS + style()),
    "explore.js": ("text/javascript", lambda: _own("explore.js")),
    "icon.svg": ("image/svg+xml", lambda: _own("icon.svg")),
}


@cache
def templates() -> Environment:
    """The explorer's own."""
    return environment(HERE / "templates")


def style() -> str:
    """The explorer's own rules."""
    return _own("explore.css")


def render(template: str, has_model: bool, /, **found: Any) -> str:
    """A page."""
    return templates().get_template(f"{template}.html").render(has_model=has_model, **found)


def build_router() -> APIRouter:
    """All routes."""
    router = APIRouter()
    for path, page in PAGES.items():
        twin = "/api" if path == "/" else f"/api{path}"
        router.add_api_route(twin, page, methods=["GET"], name=f"{page.__name__} as JSON")
        router.add_api_route(path, _as_html(page), methods=["GET"], include_in_schema=False)
    router.add_api_route("/api/around", compare.around, methods=["GET"])
    router.add_api_route("/picture/{uid}", _picture, methods=["GET"], response_class=Response)
    router.add_api_route("/static/{name}", _static, methods=["GET"], include_in_schema=False)
    return router


def _own(name: str) -> str:
    return (HERE / "static" / name).read_text()


def media_type(image: bytes) -> str:
    """Of a picture, by its first bytes."""
    types = (name for mark, name in SIGNATURES.items() if image.startswith(mark))
    return next(types, "application/octet-stream")


def _as_html(page: Callable[..., Found]) -> Callable[..., HTMLResponse]:
    def html(explorer: Explore, found: Annotated[Found, Depends(page)]) -> HTMLResponse:
        return HTMLResponse(render(page.__name__, bool(explorer.model_name), **found))

    return html


def _picture(explorer: Explore, uid: Uid, at: At = None) -> Response:
    """The stored bytes of a sample's picture."""
    image = picture(explorer.dataset, explorer.view.row(uid, at))
    return Response(image, media_type=media_type(image))


def _static(name: str) -> Response:
    if name not in STATIC:
        return Response(status_code=404)
    kind, read = STATIC[name]
    return Response(read(), media_type=kind)
