"""Fixtures for all tests: a small web on loopback, and pictures to put on it."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from tests.demo_packages import package_cache  # noqa: F401  # a fixture
from tests.hostile_server import HostileServer
from tests.image_builds import data_image  # noqa: F401  # a fixture
from tests.network import network  # noqa: F401  # a fixture
from tests.slurm_cluster import slurm_cluster, slurm_here  # noqa: F401  # fixtures


@dataclass
class Page:
    """What the small web answers under one path."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class SmallWeb:
    """A real HTTP server on 127.0.0.1 that answers from `pages` and counts what is asked."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.held: dict[str, threading.Event] = {}
        """Paths that are answered only once their event is set, or after a minute."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if not self.path.startswith("/.well-known/"):
                    web.asked.append(self.path)
                if self.path in web.held:
                    web.held[self.path].wait(60)
                page = web.pages.get(self.path, Page(status=404, body=b"no such page"))
                self.send_response(page.status)
                headers = {"Content-Length": str(len(page.body))} | page.headers
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def add(self, path: str, body: bytes, **kwargs: object) -> str:
        self.pages[path] = Page(body=body, **kwargs)  # pyright: ignore[reportArgumentType]  # test shorthand
        return self.url(path)


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache is neither read nor written, by commands that tests start either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """`free_port()` → a port of 127.0.0.1 that nobody listens on."""

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    return find


@pytest.fixture
def small_web() -> Iterator[SmallWeb]:
    web = SmallWeb()
    thread = threading.Thread(target=web.server.serve_forever, args=(0.05,))
    thread.start()
    yield web
    web.server.shutdown()
    thread.join()
    web.server.server_close()


def picture(seed: int = 0, size: tuple[int, int] = (120, 90), mode: str = "RGB") -> Image.Image:
    """Smooth random colours: compressible, and different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def make_picture():
    """`make_picture(seed, size, mode)` → PIL image."""
    return picture


@pytest.fixture
def make_jpeg():
    """`make_jpeg(seed, size)` → JPEG bytes."""

    def jpeg(seed: int = 0, size: tuple[int, int] = (120, 90)) -> bytes:
        return encoded(picture(seed, size), "JPEG", quality=90)

    return jpeg


@pytest.fixture
def encode_picture():
    """`encode_picture(image, format, **options)` → bytes."""
    return encoded


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A loopback server that answers the way the worst of the web does."""
    hostile = HostileServer()
    hostile.start()
    yield hostile
    hostile.stop()
