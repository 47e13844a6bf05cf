"""One small dataset and application for all tests that only look; a copy for those that change."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.eval.conftest import colour_encoder
from tests.eval.explore.worlds import World, build_world

from diagonal_eval.embed import Encoder
from diagonal_eval.explore import playground
from diagonal_eval.explore.explorer import Explorer
from diagonal_eval.explore.playground import Playground
from diagonal_eval.explore.server import build_app

BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return colour_encoder()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> World:
    return build_world(tmp_path_factory.mktemp("explore") / "dataset", encoder)


@pytest.fixture
def own_world(world: World, tmp_path: Path) -> World:
    """A copy to break."""
    return replace(world, root=Path(shutil.copytree(world.root, tmp_path / "dataset")))


@pytest.fixture(scope="session")
def model(encoder: Encoder) -> Iterator[Playground]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(playground, "load_encoder", lambda _: encoder)
        yield Playground("any")


@pytest.fixture(scope="session")
def explorer(world: World, model: Playground) -> Explorer:
    return Explorer(world.dataset, model=model)


@pytest.fixture(scope="session")
def client(explorer: Explorer) -> TestClient:
    return TestClient(build_app(explorer), base_url=BASE)


def client_of(world: World, model: Playground | None = None) -> TestClient:
    return TestClient(build_app(Explorer(world.dataset, model=model)), base_url=BASE)


def found(client: TestClient, path: str, **fields: Any) -> dict[str, Any]:
    """What a page's twin answers."""
    answer = client.get(f"/api{path}", params=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def captions(cards: list[dict[str, Any]]) -> list[str]:
    return [card["caption"] for card in cards]
