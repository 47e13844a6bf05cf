"""Which shards are finished, and how the dataset was made.

    shards/00000000.tar, .parquet      written whole, in this order
    shards/00000000_stats.json         written last: the shard is finished if this file is there
    manifest.json                      all finished shards, gathered from the stats files

So a kill between any two writes loses at most the shard in hand: the manifest is rebuilt from the
stats files when a run starts, and a shard without one is built again to the same bytes.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from diagonal_data.config import ShardsConfig
from diagonal_data.funnel import EMPTY, Funnel
from diagonal_data.schema import SCHEMA_VERSION
from diagonal_infra import run_dir, storage
from diagonal_infra.errors import UserError

STATS_SUFFIX = "_stats.json"


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """One finished shard; `sha256` and `bytes` are of its tar, `reasons` count its failed rows.

    A shard of a retry has a `retry_pass` above 0, and `retried` says how its rows ended before.
    """

    name: str
    candidates: int
    samples: int
    bytes: int
    sha256: str
    reasons: dict[str, int] = field(default_factory=dict)
    retry_pass: int = 0
    retried: dict[str, int] = field(default_factory=dict)
    opt_outs: dict[str, int] = field(default_factory=dict)
    """Rows that ended as opted_out, by host."""
    built_sha256: str = ""
    """Of the tar as it was built, if a takedown has changed it since; empty if none has."""

    @property
    def funnel(self) -> Funnel:
        """What the shard adds to the dataset's counts: rows that are retried leave their reason."""
        first = Funnel(input=self.candidates, kept=self.samples, reasons=self.reasons)
        return first.without(self.retried)


@dataclass(kw_only=True)
class Manifest:
    """The finished shards of a dataset folder; `settings` are what every shard must share."""

    dataset: str
    settings: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)
    shards: dict[str, ShardInfo] = field(default_factory=dict)

    def add(self, info: ShardInfo) -> None:
        """Note a finished shard; `write` makes it durable."""
        self.shards[info.name] = info

    def funnel(self) -> Funnel:
        """Counts over all finished shards."""
        return funnel_of(self.shards.values())

    def opt_outs(self) -> dict[str, int]:
        """Rows that ended as opted_out by host, over all finished shards."""
        total: Counter[str] = Counter()
        for info in self.shards.values():
            total.update(info.opt_outs)
        return dict(total)

    def write(self) -> None:
        """Replace manifest.json."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "settings": self.settings,
            "shards": [asdict(self.shards[name]) for name in sorted(self.shards)],
            **self.record,
        }
        storage.write_bytes(manifest_path(self.dataset), run_dir.to_json(content))


def funnel_of(shards: Iterable[ShardInfo]) -> Funnel:
    """Counts over shards: each candidate once, as its latest fetch ended."""
    total = EMPTY
    for info in shards:
        total = total.merge(info.funnel)
    return total


def manifest_path(dataset: str) -> str:
    """`DATASET/manifest.json`."""
    return storage.join(dataset, "manifest.json")


def shards_folder(dataset: str) -> str:
    """`DATASET/shards`."""
    return storage.join(dataset, "shards")


def settings_of(config: ShardsConfig) -> dict[str, Any]:
    """What decides a shard's bytes; two runs into one dataset must agree on it."""
    return {
        "engine": config.engine,
        "image_size": config.image_size,
        "samples_per_shard": config.samples_per_shard,
        "decode": run_dir.resolved(config.decode),
    }


def open_manifest(dataset: str, settings: dict[str, Any], config: Any) -> Manifest:
    """The dataset's manifest, made new if there is none, with every finished shard in it.

    Args:
        settings: what decides the shards' bytes, for instance `settings_of(config)`.
        config: the command's configuration tree, kept as a record.

    Raises:
        UserError: the folder was made with other settings.
    """
    if storage.exists(manifest_path(dataset)):
        differences = _differences(read_manifest(dataset)["settings"], settings)
        if differences:
            raise UserError(
                f"dataset {dataset!r} was made with other settings: {differences}; "
                "use the same settings or another folder"
            )
    record = {"config": run_dir.resolved(config), "code_revision": run_dir.code_revision()}
    manifest = Manifest(dataset=dataset, settings=settings, record=record)
    manifest.shards = finished_shards(dataset)
    manifest.write()
    return manifest


def finished_shards(dataset: str) -> dict[str, ShardInfo]:
    """Every finished shard by name, in order, from the stats files: up to date during a build."""
    folder = shards_folder(dataset)
    names = storage.list_files(folder, STATS_SUFFIX)
    stats = (json.loads(storage.read_bytes(storage.join(folder, name))) for name in names)
    return {info.name: info for info in map(info_from, stats)}


def read_manifest(dataset: str) -> dict[str, Any]:
    """manifest.json of a dataset.

    Raises:
        UserError: there is no dataset at that path.
    """
    path = manifest_path(dataset)
    if not storage.exists(path):
        raise UserError(
            f"no dataset at {dataset!r} (no manifest.json); build it with 'make shards'"
        )
    return json.loads(storage.read_bytes(path))


def shard_passes(dataset: str) -> dict[str, int]:
    """Retry pass of each finished shard by its name, in order; 0 is a first fetch.

    Raises:
        UserError: no dataset, or one without a finished shard.
    """
    passes = {s["name"]: s.get("retry_pass", 0) for s in read_manifest(dataset)["shards"]}
    if not passes:
        raise UserError(f"no shards found in {dataset!r}; build them with 'make shards'")
    return passes


def shard_names(dataset: str) -> list[str]:
    """Names of the finished shards, in order; raises as `shard_passes`."""
    return list(shard_passes(dataset))


def passes_of(shards: Iterable[ShardInfo]) -> dict[str, int]:
    """`shard_passes` of shards at hand."""
    return {info.name: info.retry_pass for info in shards}


def info_from(stats: Mapping[str, Any]) -> ShardInfo:
    """Other keys are passed over; those that older datasets lack have defaults."""
    return ShardInfo(**{k: stats[k] for k in ShardInfo.__dataclass_fields__ if k in stats})


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        flag = f"{prefix}{key}".replace("_", "-")
        if isinstance(before, dict) and isinstance(now, dict):
            found.append(_differences(before, now, f"{flag}."))
        elif before != now:
            found.append(f"--{flag} was {before!r}, is {now!r}")
    return ", ".join(part for part in found if part)
