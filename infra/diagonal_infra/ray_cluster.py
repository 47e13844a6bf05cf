"""One function over many units: on Ray, or in this process. The only caller of `ray.init`.

Ray schedules and carries unit descriptions and summaries, never pixels. In flight is bounded, a
unit has a deadline of its own, and a unit that fails or is lost is tried again, so the function
must be idempotent. Local runs start their own Ray (address "local") rather than join whatever runs
on the machine, and nothing here calls `ray stop`, which would end other people's. `RAY_ADDRESS`
names a cluster to join instead.

Start drivers with `.venv/bin/python`: under `uv run` Ray rebuilds the environment for every worker.
"""

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from diagonal_infra.errors import UnitError
from diagonal_infra.shared import Here, Shared

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default a node that vanishes without a reset is noticed after minutes, and its tasks do not
    # fail (Ray PR 44612). With these it is dead after three looks, at most period + timeout
    # apart: 9 s. Its tasks fail after about 30 s: 10 s until the connection counts as
    # broken, and gRPC's 20 s in vain for a new one, over which Ray asks why the task failed.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""To be set before Ray starts: `start` does it for drivers; the nodes of a cluster need it too."""
OBJECT_STORE_BYTES = 200 * 2**20
ATTEMPTS = 3
POLL_SECONDS = 1.0
LISTED = 50
"""Most failed units named in the last message."""


@contextmanager
def start(num_cpus: int) -> Iterator[None]:
    """A Ray runtime for the block: joins RAY_ADDRESS if set, else starts one on this machine."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
    try:
        yield
    finally:
        ray.shutdown()


class OnRay:
    """A `Shared` object in an actor; this handle travels to the workers."""

    def __init__(self, make: Callable[[], object]) -> None:
        # On the driver's node, whose loss ends the run anyway. Started anew if it dies, and then
        # without what it knew: its object must be able to learn that from those who call. It is
        # told, if it has a method `restarted`.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
        self.name = uuid.uuid4().hex
        self._actor: Any = ray.remote(**options)(_Holder).remote(make)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Send the call to the actor and wait for its result."""
        return await self._actor.call.remote(method, *arguments)


class _Holder:
    def __init__(self, make: Callable[[], object]) -> None:
        self._target = make()
        tell = getattr(self._target, "restarted", None)
        if tell is not None and ray.get_runtime_context().was_current_actor_reconstructed:
            tell()

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._target, method)(*arguments)


@dataclass
class _Try:
    """A submitted unit: which, how many times with this one, and since when it runs."""

    item: Any
    attempt: int
    since: float | None = None


def map_unordered(
    function: Callable[[Item, Shared], Result],
    items: Sequence[Item],
    *,
    shared: Callable[[], object] = object,
    workers: int,
    local: bool,
    deadline_seconds: float,
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, result) as they finish.

    Args:
        function: importable on the workers; idempotent; small arguments and results.
        items: what to call it with.
        shared: makes the object whose handle every call gets as its second argument.
        workers: units at a time.
        local: run in this process, one after the other, without Ray.
        deadline_seconds: a unit running longer is cancelled and submitted again; waiting for a
            free CPU of the cluster does not count.

    Raises:
        UnitError: after all others are done, if some failed `ATTEMPTS` times, be it by an
            exception, a crash, the deadline or the loss of their node.
    """
    failed: list[Item] = []
    if local:
        handle = Here(shared())
        yield from _map_here(partial(_call, function, handle), items, failed)
    elif items:
        with start(workers):
            call = partial(_call, function, OnRay(shared))
            yield from _map_on_ray(call, items, workers, deadline_seconds, failed)
    if failed:
        raise UnitError(
            f"{len(failed)} of {len(items)} units failed {ATTEMPTS} times: {_listed(failed)}; "
            "the log has the causes; run the same command again to finish them"
        )


def _listed(failed: Sequence[Any]) -> str:
    more = f" and {len(failed) - LISTED} more" if len(failed) > LISTED else ""
    return ", ".join(map(str, failed[:LISTED])) + more


def _map_here(
    function: Callable[[Item], Result], items: Sequence[Item], failed: list[Item]
) -> Iterator[tuple[Item, Result]]:
    for item in items:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result = function(item)
            except Exception:
                logger.exception("unit failed item=%s attempt=%d", item, attempt)
            else:
                yield item, result
                break
        else:
            failed.append(item)


def _map_on_ray(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    deadline_seconds: float,
    failed: list[Item],
) -> Iterator[tuple[Item, Result]]:
    # Ray itself tries nothing again: what crashes workers is run `ATTEMPTS` times in all.
    remote: Any = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_apply)
    waiting = deque(_Try(item, 1) for item in items)
    running: dict[Any, _Try] = {}
    """By what the task yields."""
    while waiting or running:
        while waiting and len(running) < workers:
            unit = waiting.popleft()
            running[remote.remote(function, unit.item)] = unit
        done: list[Any] = ray.wait(list(running), timeout=POLL_SECONDS)[0]
        for outputs in done:
            unit = running[outputs]
            try:
                result: Any = ray.get(next(outputs))
            except Exception:
                logger.exception("unit failed item=%s attempt=%d", unit.item, unit.attempt)
                del running[outputs]
                _try_again(unit, waiting, failed)
                continue
            if unit.since is None:
                unit.since = time.monotonic()
            else:
                del running[outputs]
                yield unit.item, result
        for outputs in _overdue(running, deadline_seconds):
            unit = running.pop(outputs)
            logger.error("unit overdue item=%s seconds=%.0f", unit.item, deadline_seconds)
            ray.cancel(outputs, force=True)
            _try_again(unit, waiting, failed)


def _call(function: Callable[[Item, Shared], Result], handle: Shared, item: Item) -> Result:
    return function(item, handle)


def _apply(function: Callable[[Item], Result], item: Item) -> Iterator[Result | None]:
    """A Ray task, which sends what it yields: None when it starts, and then the result."""
    yield None
    yield function(item)


def _try_again(unit: _Try, waiting: deque[_Try], failed: list[Any]) -> None:
    if unit.attempt < ATTEMPTS:
        waiting.append(_Try(unit.item, unit.attempt + 1))
    else:
        failed.append(unit.item)


def _overdue(running: dict[Any, _Try], deadline_seconds: float) -> list[Any]:
    now = time.monotonic()
    return [
        outputs
        for outputs, unit in running.items()
        if unit.since is not None and now - unit.since > deadline_seconds
    ]
