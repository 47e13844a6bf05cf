"""Our loader as a user calls it, in a process of its own.

python stream_ours.py '{"program": …, "data": …, "report": PATH, …}'    JSON to PATH

loader   dataloader() with worker processes, between two marks
raw      raw_batches() in this process, between two marks
first    seconds from the call of dataloader() to its first batch
resume   uids of a stream that is broken off and resumed on other ranks and workers
"""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import stream_window
from diagonal_train.stream import StreamConfig, dataloader, raw_batches

BATCHES, STOP_AFTER = 8, 3
"""Of the resume: length of the stream, and batches before it is broken off."""
WORLDS = {"1 rank × 1 worker": (1, 1), "2 ranks × 1": (2, 1), "4 ranks × 2": (4, 2)}


def main(request: dict[str, Any]) -> None:
    """Do what is asked and write the report."""
    config = StreamConfig(
        data=request["data"],
        global_batch_size=request["batch"],
        index_cache=request["index_cache"],
    )
    program = {"loader": loader, "raw": raw, "first": first, "resume": resume}
    stream_window.write_report(request["report"], program[request["program"]](config, request))


def loader(config: StreamConfig, request: dict[str, Any]) -> dict[str, Any]:
    """Batches through worker processes."""

    # As the train loop takes them: a pass of so small a set is over before its workers paid off.
    count = request["last"] // config.global_batch_size + 2
    taken = dataloader(config, num_workers=request["workers"]).take(count)
    sizes = (len(batch.uids) for batch in taken)
    return stream_window.between_marks(sizes, request["first"], request["last"])


def raw(config: StreamConfig, request: dict[str, Any]) -> dict[str, Any]:
    """Encoded images and captions, in this process."""
    sizes = stream_window.endless(lambda: (len(batch.uids) for batch in raw_batches(config)))
    return stream_window.between_marks(sizes, request["first"], request["last"])


def first(config: StreamConfig, request: dict[str, Any]) -> dict[str, Any]:
    """From the call to the first batch, at any place of the stream."""
    seconds = stream_window.seconds_to_first(
        lambda: dataloader(
            config, num_workers=request["workers"], samples_seen=request["samples_seen"]
        )
    )
    return {"seconds": seconds}


def resume(config: StreamConfig, request: dict[str, Any]) -> dict[str, Any]:
    """Whether each world, broken off and resumed in the next, gives the uninterrupted uids."""
    whole, _ = _uids(config, (1, 0), None, BATCHES)
    equal, names = {}, list(WORLDS)
    for before, after in zip(names, [*names[1:], names[0]], strict=True):
        head, state = _uids(config, WORLDS[before], None, STOP_AFTER)
        tail, _ = _uids(config, WORLDS[after], state, BATCHES - STOP_AFTER)
        equal[f"{before} → {after}"] = head + tail == whole
    return {"equal": equal, "batches": BATCHES, "distinct": len(set(whole)), "uids": len(whole)}


def _uids(
    config: StreamConfig, world: tuple[int, int], state: dict[str, Any] | None, count: int
) -> tuple[list[str], dict[str, Any]]:
    """Uids of `count` global batches in order, and what the loader of rank 0 says of its state."""
    ranks, workers = world
    loaders = [
        dataloader(config, rank=rank, world_size=ranks, num_workers=workers)
        for rank in range(ranks)
    ]
    if state is not None:
        for rank_loader in loaders:
            rank_loader.load_state_dict(state)
    of_ranks = [list(_first_uids(rank_loader, count)) for rank_loader in loaders]
    uids = [uid for parts in zip(*of_ranks, strict=True) for part in parts for uid in part]
    return uids, loaders[0].state_dict()


def _first_uids(batches: Iterable[Any], count: int) -> Iterator[list[str]]:
    return (batch.uids for batch in islice(batches, count))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
