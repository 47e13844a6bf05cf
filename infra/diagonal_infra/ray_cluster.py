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
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from diagonal_infra import tally
from diagonal_infra.errors import DISK_FULL, UnitError, UserError
from diagonal_infra.ray_environment import ENVIRONMENT
from diagonal_infra.ray_workers import ATTEMPTS, Workers
from diagonal_infra.shared import Here, Shared

Item = TypeVar("Item")
Result = TypeVar("Result")
logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 200 * 2**20
ANSWER_SECONDS = 30.0
LOOK_SECONDS = 3.0
JOINING = (
    "check RAY_ADDRESS (--address of launch), that its head is up, and RAY_AUTH_MODE and "
    "RAY_AUTH_TOKEN, which must be those of the cluster"
)
LISTED = 50
"""Most failed units named in the last message."""


@contextmanager
def start(num_cpus: int) -> Iterator[None]:
    """A Ray runtime for the block: joins RAY_ADDRESS if set, else starts one on this machine.

    Within another such block that one's runtime is used: stages in a row start Ray once.
    """
    if ray.is_initialized():
        yield
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address := os.environ.get("RAY_ADDRESS"):
        require_answer(address)
        try:
            ray.init(**quiet)
        except (AuthenticationError, ConnectionError, RuntimeError) as error:
            raise UserError(
                f"the Ray cluster at {address} refuses us: {error}; {JOINING}"
            ) from error
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


def require_answer(address: str) -> None:
    """Return when somebody listens at `HOST:PORT`; Ray itself would try for many minutes.

    Raises:
        UserError: nobody does for so long.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return  # `auto`, `local`
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=LOOK_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                said = f"no Ray cluster answers at {address} in {ANSWER_SECONDS:.0f} s: {error}"
                raise UserError(f"{said}; {JOINING}") from error
        time.sleep(LOOK_SECONDS)


class OnRay:
    """A `Shared` object in an actor; this handle travels to the workers."""

    def __init__(self, make: Callable[[], object]) -> None:
        # On the driver's node, whose loss ends the run anyway. Started anew if it dies, and then
        # without what it knew: its object must be able to learn that from those who call. It is
        # told, if it has a method `restarted`.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
        # An actor that asks for nothing is placed by a random node, which obeys no soft wish and
        # may not know the driver's node yet; one that asks for a byte, by the driver's node itself.
        options["memory"] = 1
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


def map_unordered(
    function: Callable[[Item, Shared], Result],
    items: Sequence[Item],
    *,
    shared: Callable[[], object] = object,
    workers: int,
    local: bool,
    deadline_seconds: float,
    units_at_once: int = 1,
    gpus_per_worker: float = 0.0,
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, result) as they finish.

    Args:
        function: importable on the workers; idempotent; small arguments and results.
        items: what to call it with.
        shared: makes the object whose handle every call gets as its second argument.
        workers: processes, of a CPU each.
        local: run in this process, one after the other, without Ray.
        deadline_seconds: a unit running longer is broken off and tried again; waiting for a free
            CPU of the cluster does not count.
        units_at_once: in one worker, in threads.
        gpus_per_worker: of the cluster's, which no other worker gets meanwhile; a fraction shares.

    Raises:
        OSError: the disk is full; only in this process, for a node of a cluster may have room.
        UnitError: after all others are done, if some failed `ATTEMPTS` times, be it by an
            exception, a crash, the deadline or the loss of their node.
    """
    failed: list[Item] = []
    if local:
        handle = Here(shared())
        yield from _map_here(partial(_call, function, handle), items, failed)
    elif items:
        with start(workers):
            pool = Workers(
                partial(_call, function, OnRay(shared)),
                count=workers,
                units_at_once=units_at_once,
                deadline_seconds=deadline_seconds,
                gpus=gpus_per_worker,
            )
            yield from pool.run(items, failed)
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
            tally.now().begin(item)
            try:
                result = function(item)
            except Exception as error:
                tally.now().end(item, "failed")
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise
                logger.exception("unit failed item=%s attempt=%d", item, attempt)
            else:
                tally.now().end(item, "finished")
                yield item, result
                break
        else:
            failed.append(item)
            tally.now().given_up_units += 1


def _call(function: Callable[[Item, Shared], Result], handle: Shared, item: Item) -> Result:
    return function(item, handle)
