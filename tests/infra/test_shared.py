"""The handles on a shared object, in this process and on Ray: workers see no difference."""

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from diagonal_infra import ray_cluster
from diagonal_infra.shared import Here, Shared


class Till:
    """Something to share."""

    def __init__(self) -> None:
        self.coins: list[int] = []

    def put(self, *coins: int) -> int:
        if min(coins) < 1:
            raise ValueError(f"no coin is worth {min(coins)}")
        self.coins += coins
        return sum(self.coins)


@pytest.fixture(
    scope="module",
    params=[pytest.param("here"), pytest.param("ray", marks=pytest.mark.ray)],
)
def handle(request: pytest.FixtureRequest) -> Iterator[Shared]:
    """On a new till; one Ray runtime for all tests."""
    if request.param == "here":
        yield Here(Till())
        return
    with ray_cluster.start(1):
        yield ray_cluster.OnRay(Till)


def call(handle: Shared, method: str, *arguments: Any) -> Any:
    async def wait() -> Any:
        return await handle.call(method, *arguments)

    return asyncio.run(wait())


def test_calls_reach_one_object_and_bring_its_results(handle: Shared) -> None:
    before = call(handle, "put", 1)
    assert call(handle, "put", 2, 3) == before + 5


def test_errors_reach_the_caller_and_the_object_lives_on(handle: Shared) -> None:
    before = call(handle, "put", 1)
    with pytest.raises(ValueError, match="no coin is worth 0"):
        call(handle, "put", 0)
    assert call(handle, "put", 1) == before + 1


def test_an_unknown_method_is_an_error(handle: Shared) -> None:
    with pytest.raises(AttributeError, match="steal"):
        call(handle, "steal")


def test_copies_share_the_name_and_other_handles_do_not(handle: Shared) -> None:
    copy: Shared = pickle.loads(pickle.dumps(handle))
    assert copy.name == handle.name != Here(Till()).name
