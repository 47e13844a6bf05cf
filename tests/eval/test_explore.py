import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from diagonal_eval.catalogue import open_catalogue
from diagonal_eval.config import ExploreConfig
from diagonal_eval.dataset import iterate_images
from diagonal_eval.embed import Encoder
from diagonal_eval.explore import ExploreServer
from diagonal_eval.scores.config import ClipConfig
from diagonal_eval.scores.run import write_scores
from diagonal_infra.errors import UserError

HOSTILE = quote("<script>alert(1)</script>")


@pytest.fixture
def config(tiny_world: Any, use_colour_encoder: Callable[[str], None]) -> ExploreConfig:
    use_colour_encoder("diagonal_eval.scores.clip")
    use_colour_encoder("diagonal_eval.catalogue")
    return ExploreConfig(dataset=tiny_world.dataset, checkpoint="any", port=0, limit=5)


@pytest.fixture
def server(config: ExploreConfig) -> Iterator[ExploreServer]:
    write_scores(ClipConfig(dataset=config.dataset, model="any", local=True))
    with ExploreServer(open_catalogue(config), port=0, limit=config.limit) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: ExploreServer, path: str, host: str | None = None) -> tuple[int, dict, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


def test_the_front_page_shows_samples_and_reasons(server: ExploreServer) -> None:
    status, headers, body = get(server, "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert body.count(b"<figure>") == 5
    assert b'<option value="timed_out">' in body


def test_search_gives_the_nearest_pictures_first(server: ExploreServer) -> None:
    _, _, body = get(server, "/search?q=blue%20square")
    captions = [part.split(b"<small>")[0] for part in body.split(b"<figcaption>")[1:]]
    assert len(captions) == 5
    assert all(b"blue square" in caption for caption in captions)
    assert b"cosine 0.9" in body or b"cosine 1.0" in body


def test_text_of_strangers_is_escaped(server: ExploreServer) -> None:
    _, _, body = get(server, f"/search?q={HOSTILE}")
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
    _, _, failed = get(server, "/search?show=timed_out")
    assert b"gone &lt;b&gt;0" in failed
    assert b"no &lt;answer&gt;" in failed
    assert b"<img" not in failed


def test_pictures_are_the_stored_bytes(server: ExploreServer) -> None:
    catalogue = server.catalogue
    sample = catalogue.samples[7]
    status, headers, body = get(server, f"/image/{sample.uid}")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body == next(iterate_images(catalogue.dataset, [sample]))


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/image/../manifest.json", None, 404),
        ("/image/0123", None, 404),
        ("/elsewhere", None, 404),
        ("/", "evil.example", 421),
    ],
)
def test_nothing_else_is_served(
    server: ExploreServer, path: str, host: str | None, status: int
) -> None:
    assert get(server, path, host)[0] == status


def test_missing_or_foreign_embeddings_are_a_user_error(
    config: ExploreConfig, colour_encoder: Encoder
) -> None:
    with pytest.raises(UserError, match="make scores"):
        open_catalogue(config)
    write_scores(ClipConfig(dataset=config.dataset, model="any", local=True))
    object.__setattr__(colour_encoder, "digest", "another")
    with pytest.raises(UserError, match="make scores"):
        open_catalogue(config)


def test_a_taken_port_is_a_user_error(server: ExploreServer) -> None:
    with pytest.raises(UserError, match="set another --port"):
        ExploreServer(server.catalogue, port=server.server_address[1], limit=1)
