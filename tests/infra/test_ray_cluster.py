"""The same function over the same units: in this process and on Ray, with failures."""

import asyncio
import errno
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError

from diagonal_infra import ray_cluster, tally
from diagonal_infra.errors import UnitError
from diagonal_infra.shared import Shared

UNIT_SECONDS = 2.0
MODES = [pytest.param(True, id="local"), pytest.param(False, id="ray", marks=pytest.mark.ray)]


def run(function, items: list, *, local: bool = False, **settings: Any) -> dict:
    settings = {"workers": 2, "deadline_seconds": 60.0} | settings
    return dict(ray_cluster.map_unordered(function, items, local=local, **settings))


@pytest.mark.parametrize("local", MODES)
def test_failing_units_are_tried_again_and_the_others_finish(tmp_path: Path, local: bool) -> None:
    # One Ray runtime for all cases: starting it costs seconds.
    def square(name: str, _: Shared) -> str:
        tries = tmp_path / name
        with tries.open("a") as file:
            file.write(".")
        if name == "fails once" and len(tries.read_text()) == 1:
            raise RuntimeError("first time")
        if name == "dies once" and len(tries.read_text()) == 1 and not local:
            os._exit(1)
        if name == "always dies" and not local:
            os._exit(1)
        if name.startswith("always"):
            raise RuntimeError("every time")
        return name.upper()

    names = ["one", "fails once", "always fails", "dies once", "always dies", "two"]
    results = {}
    count = tally.begin_anew()
    finished = ray_cluster.map_unordered(
        square, names, workers=2, local=local, deadline_seconds=60.0
    )
    with pytest.raises(UnitError, match="2 of 6 units failed 3 times: always"):
        results.update(item for item in finished)
    assert results == {n: n.upper() for n in names if not n.startswith("always")}
    assert len((tmp_path / "always fails").read_text()) == ray_cluster.ATTEMPTS
    assert len((tmp_path / "always dies").read_text()) == ray_cluster.ATTEMPTS
    assert len((tmp_path / "fails once").read_text()) == 2
    lost = {} if local else {"lost": 4}
    assert count.tries == {"finished": 4, "failed": 7 if local else 4} | lost
    assert count.given_up_units == 2
    assert count.longest_unit_seconds() == 0.0


@pytest.mark.ray
@pytest.mark.parametrize("units_at_once", [1, 2])
def test_a_unit_past_its_deadline_is_started_again(tmp_path: Path, units_at_once: int) -> None:
    def hang_once(name: str, _: Shared) -> str:
        first = tmp_path / name
        if name == "stuck" and not first.exists():
            first.touch()
            hang()
        return name

    names = ["stuck", "one", "two", "three"]
    count = tally.begin_anew()
    found = run(hang_once, names, workers=1, deadline_seconds=3.0, units_at_once=units_at_once)
    assert found == {name: name for name in names}
    assert (count.tries["finished"], count.tries["overdue"]) == (4, 1)


def test_a_full_disk_ends_a_run_in_this_process_at_once() -> None:
    tried = []

    def fill(name: str, _: Shared) -> None:
        tried.append(name)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(fill, ["one", "two"], local=True)
    assert tried == ["one"]


def hang() -> None:
    os.read(os.pipe()[0], 1)  # nothing is ever written to this pipe


@pytest.mark.ray
def test_a_unit_that_waits_does_not_keep_the_next_one_of_its_worker(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def wait_or_not(name: str, _: Shared) -> int:
        if name == "waits":
            gate.read_bytes()
        return os.getpid()

    finished = ray_cluster.map_unordered(
        wait_or_not,
        ["waits", "one", "two"],
        workers=1,
        units_at_once=2,
        local=False,
        deadline_seconds=60.0,
    )
    found = [next(finished), next(finished)]
    assert [name for name, _ in found] == ["one", "two"]
    gate.write_bytes(b"go")
    found += finished
    assert [name for name, _ in found[2:]] == ["waits"]
    assert len({process for _, process in found}) == 1


@pytest.mark.ray
@pytest.mark.parametrize(("units", "units_at_once"), [(2, 2), (6, 4)])
def test_workers_share_what_one_of_them_could_take_alone(
    tmp_path: Path, units: int, units_at_once: int
) -> None:
    for pair in range(units // 2):
        os.mkfifo(tmp_path / str(pair))

    def meet(number: int, _: Shared) -> int:
        # Each opens its end only when the other does: none of the first half is done before the
        # last unit runs.
        if number < units // 2:
            (tmp_path / str(number)).write_bytes(b"here")
        else:
            (tmp_path / str(units - 1 - number)).read_bytes()
        return os.getpid()

    found = run(meet, list(range(units)), units_at_once=units_at_once)
    assert sorted(Counter(found.values()).values()) == [units // 2, units // 2]


@pytest.mark.ray
def test_a_unit_beside_one_that_always_crashes_finishes(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)

    def work(name: str, _: Shared) -> str:
        with (tmp_path / name).open("a") as file:
            file.write(".")
        first = (tmp_path / name).read_text() == "."
        if name == "crashes":
            if first:
                meeting.write_bytes(b"now both are here")
            os._exit(1)
        if first:
            meeting.read_bytes()
            hang()
        return name

    finished = ray_cluster.map_unordered(
        work,
        ["crashes", "beside"],
        workers=1,
        units_at_once=2,
        local=False,
        deadline_seconds=60.0,
    )
    with pytest.raises(UnitError, match="1 of 2 units failed 3 times: crashes"):
        assert list(finished) == [("beside", "beside")]
    assert len((tmp_path / "crashes").read_text()) == ray_cluster.ATTEMPTS
    assert len((tmp_path / "beside").read_text()) == 2


class Broken:
    """Cannot be loaded by workers, as code that they do not have."""

    def __reduce__(self) -> tuple:
        return (int, ("no number",))

    def __call__(self, item: str, _: Shared) -> str:
        return item


@pytest.mark.ray
def test_workers_that_cannot_start_are_not_tried_for_ever() -> None:
    with pytest.raises(UnitError, match="2 of 2 units failed 3 times"):
        run(Broken(), ["one", "two"])


@pytest.mark.ray
def test_waiting_for_a_free_cpu_is_not_part_of_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(name: str, _: Shared) -> str:
        with (tmp_path / name).open("a") as file:
            file.write(".")
        time.sleep(UNIT_SECONDS)
        return name

    names = ["one", "two", "three", "four"]
    with one_cpu() as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        finished = ray_cluster.map_unordered(
            work, names, workers=4, local=False, deadline_seconds=1.75 * UNIT_SECONDS
        )
        assert sorted(name for name, _ in finished) == sorted(names)
    assert [(tmp_path / name).read_text() for name in names] == ["."] * 4


@contextmanager
def one_cpu() -> Iterator[str]:
    """A cluster with a single CPU; its address."""
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        # Not 127.0.0.1, which Ray replaces by the machine's own address.
        yield str(cluster.address)
    finally:
        cluster.shutdown()


class Memory:
    """Learns nothing, but that it was made anew."""

    def __init__(self) -> None:
        self.made_anew = False

    def restarted(self) -> None:
        self.made_anew = True

    def was_made_anew(self) -> bool:
        return self.made_anew

    def die(self) -> None:
        os._exit(1)


@pytest.mark.ray
def test_a_shared_object_that_is_made_anew_is_told() -> None:
    async def ask() -> tuple[bool, bool]:
        memory = ray_cluster.OnRay(Memory)
        before = await memory.call("was_made_anew")
        with pytest.raises(RayActorError):
            await memory.call("die")
        while True:
            # Ray refuses calls until the actor is there again.
            with suppress(RayActorError):
                return before, await memory.call("was_made_anew")
            await asyncio.sleep(0.05)

    with ray_cluster.start(1):
        assert asyncio.run(ask()) == (False, True)


def test_no_units_start_no_ray() -> None:
    assert run(lambda item, _: item, []) == {}
