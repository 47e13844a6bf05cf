"""What a filter was made of, and whether that is still what is there.

    recipe.json   config         as resolved
                  inputs         place → SHA-256: shards, scores/KIND/NAME, embeddings/NAME,
                                 tombstones.parquet, filters/NAME/keep.npy, lists by their paths
                  digest         SHA-256 of config (without the dataset's path) and inputs

A folder's digest is of the sizes and last 16 KiB of its tables, where Parquet has the schema, the
bounds of every column and the scores' source; of row tables also the SHA-256 of the tars. So it is
read in a moment; what it does not see is a table changed by hand with all of these kept. The ends
of tables that bear the same mark as before (file_marks.py) are taken from DATASET/cache.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from diagonal_data.filters.cache import cache_folder
from diagonal_data.filters.keep_list import filter_folder
from diagonal_data.manifest import read_manifest, shard_names
from diagonal_data.score_sets import ScoreSet
from diagonal_infra import run_dir, storage
from diagonal_infra.errors import StorageError, UserError
from diagonal_infra.file_marks import file_marks

TAIL_BYTES = 1 << 14
THREADS = 8
SHARDS, TOMBSTONES = "shards", "tombstones.parquet"
logger = logging.getLogger(__name__)


def describe_inputs(
    dataset: str, scores: Iterable[ScoreSet], others: Iterable[str]
) -> dict[str, str]:
    """Place and digest of the row tables, the tombstones, these score sets and these files."""
    places = [
        SHARDS,
        TOMBSTONES,
        *(f"scores/{label}" for label in sorted({s.label for s in scores})),
    ]
    known = [place for place in [*places, *others] if place]
    return {place: digest_of(dataset, place, remember=True) for place in known}


def digest_of(dataset: str, place: str, *, remember: bool = False) -> str:
    """The digest of one input; empty if it is not there. `remember` writes to the cache."""
    if place == SHARDS:
        tars = [f"{s['name']}:{s['sha256']}" for s in read_manifest(dataset)["shards"]]
        tables = _tables(dataset, SHARDS, ".parquet", remember=remember)
        return _sha256(*(text.encode() for text in tars), tables)
    if place.startswith("scores/"):
        return _tables(dataset, place, ".parquet", remember=remember).hex()
    if place.startswith("embeddings/"):
        return _tables(dataset, place, ".npz", remember=remember).hex()
    path = storage.join(dataset, place) if _own(place) else place
    return _sha256(storage.read_bytes(path)) if storage.exists(path) else ""


def _own(place: str) -> bool:
    """Whether an input lies in the dataset's folder."""
    return place in {SHARDS, TOMBSTONES} or place.startswith(("scores/", "embeddings/", "filters/"))


def record_of(config: Any, inputs: dict[str, str]) -> dict[str, Any]:
    """recipe.json: the same config and inputs have the same digest, wherever the dataset is."""
    resolved = run_dir.resolved(config)
    decides = {key: value for key, value in resolved.items() if key != "dataset"}
    content = json.dumps([decides, inputs], sort_keys=True).encode()
    return {
        "config": resolved,
        "inputs": inputs,
        "digest": _sha256(content),
        "code_revision": run_dir.code_revision(),
    }


def stale_inputs(dataset: str, name: str) -> list[str]:
    """The inputs of a filter that have changed since it was made; none if it is current.

    A keep list that was put there by hand has no recipe.json, and is never stale. A list outside
    the dataset that is not there, seen from another folder for instance, is taken for unchanged.
    """
    path = storage.join(filter_folder(dataset, name), "recipe.json")
    if not storage.exists(path):
        return []
    recorded = json.loads(storage.read_bytes(path)).get("inputs", {})
    return [
        place
        for place, digest in recorded.items()
        if digest_of(dataset, place) != digest and (_own(place) or storage.exists(place))
    ]


def warn_if_stale(dataset: str, name: str) -> None:
    """Say so in the log, with the inputs' names."""
    changed = stale_inputs(dataset, name)
    if changed:
        logger.warning(
            "filter is stale, make it again filter=%s dataset=%s changed=%s",
            *(name, dataset, ",".join(changed)),
        )


def check_list(path: str, flag: str) -> None:
    """A file that a flag names is there.

    Raises:
        UserError: it is not.
    """
    if not storage.exists(path):
        raise UserError(f"no file at {path!r}; check {flag}")


def _tables(dataset: str, place: str, suffix: str, *, remember: bool) -> bytes:
    """Of the tables of all finished shards in a folder of the dataset."""
    folder = storage.join(dataset, place)
    names = [f"{name}{suffix}" for name in shard_names(dataset)]
    marks = file_marks(folder, suffix)
    path = storage.join(cache_folder(dataset), place, "tails.json")
    known = _known_tails(path)
    tails = {n: known[n][1] for n in names if marks.get(n) and known.get(n, [""])[0] == marks[n]}
    new = [name for name in names if name not in tails]
    with ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(_tail, [storage.join(folder, name) for name in new])
        tails |= {name: tail.hex() for name, tail in zip(new, found, strict=True)}
    if remember and any(marks.get(name) for name in new):
        content = {name: [marks[name], tails[name]] for name in names if marks.get(name)}
        with suppress(OSError, StorageError):
            storage.write_bytes(path, json.dumps(content).encode())
    return bytes.fromhex(_sha256(*(bytes.fromhex(tails[name]) for name in names)))


def _known_tails(path: str) -> dict[str, list[str]]:
    """Name of a table to its mark and its tail then."""
    try:
        return json.loads(storage.read_bytes(path))
    except (OSError, StorageError, ValueError):
        return {}


def _tail(path: str) -> bytes:
    """Size and digest of the end of a file; empty if there is none."""
    local = storage.local_path(path)
    if local is not None:
        return _digest_end(Path(local).open("rb")) if Path(local).exists() else b""
    try:
        return _digest_end(storage.open_read(path))
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return b""
        raise


def _digest_end(opened: IO[bytes]) -> bytes:
    with opened as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return size.to_bytes(8, "big") + hashlib.sha256(file.read()).digest()


def _sha256(*parts: bytes) -> str:
    content = hashlib.sha256()
    for part in parts:
        content.update(len(part).to_bytes(8, "big") + part)
    return content.hexdigest()
