"""Reading a finished dataset folder: shards, samples by byte range, funnels.

DATASET/manifest.json             which shards are finished
DATASET/shards/NAME.parquet       rows; `tar_offset`, `tar_bytes` place a sample in NAME.tar
DATASET/filters/NAME/funnel.json  which candidates a filter dropped, and why
DATASET/tombstones.parquet        taken-down samples: their pictures and captions are not read
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from diagonal_data.filters.keep_list import filter_folder
from diagonal_data.manifest import read_manifest, shard_names, shards_folder
from diagonal_data.parquet import read_parquet
from diagonal_data.rows import read_rows, taken_down
from diagonal_infra import storage
from diagonal_infra.errors import StorageError
from diagonal_train.streaming.reader import BadSampleError, image_and_members

SAMPLE_COLUMNS = (
    *("uid", "url", "caption", "status", "sha256", "tar_offset", "tar_bytes"),
    *("page_url", "final_url", "phash"),
)
"""Of a sample; the last three are asked for by tombstones."""
SUCCESS = "success"
KEPT = "kept"
"""Stands in a funnel beside the drop reasons."""


@dataclass(frozen=True, kw_only=True)
class StoredSample:
    """One image–caption pair and where its bytes lie; of a taken-down one the caption is empty."""

    uid: str
    url: str
    caption: str
    shard: str
    tar_offset: int
    tar_bytes: int
    taken_down: bool = False


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The finished shards of a dataset folder; `digest` names their content.

    `sha256s` are of the tars as they were built: they are what scores name as their source, and
    what a takedown leaves of a shard is scored already.
    """

    root: str
    shards: tuple[str, ...]
    sha256s: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Equal for equal shards; 32 hex digits."""
        return content_digest(*self.shards, *self.sha256s)

    def path(self, *parts: str) -> str:
        """A path inside the folder."""
        return storage.join(self.root, *parts)


def content_digest(*parts: str | bytes) -> str:
    """32 hex digits over parts of any length, without ambiguity at their borders."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def open_dataset(root: str) -> Dataset:
    """The dataset's finished shards, in order.

    Raises:
        UserError: there is no dataset, or none of its shards is finished.
    """
    names = shard_names(root)
    shards = read_manifest(root)["shards"]
    sha256_of = {s["name"]: s.get("built_sha256") or s["sha256"] for s in shards}
    return Dataset(
        root=root,
        shards=tuple(names),
        sha256s=tuple(sha256_of[name] for name in names),
    )


def read_samples(dataset: Dataset, shard: str) -> list[StoredSample]:
    """The samples of a shard, taken-down ones too, in the order of its row table."""
    path = storage.join(shards_folder(dataset.root), f"{shard}.parquet")
    rows = read_parquet(path, SAMPLE_COLUMNS)
    gone = taken_down(dataset.root, rows)
    return [
        stored_sample({**row, "shard": shard}, taken_down=bool(is_gone))
        for row, is_gone in zip(rows.to_pylist(), gone, strict=True)
        if row["status"] == SUCCESS
    ]


def stored_sample(row: dict[str, Any], *, taken_down: bool = False) -> StoredSample:
    """The sample of a row with `SAMPLE_COLUMNS` and `shard`."""
    return StoredSample(
        uid=row["uid"],
        url=row["url"],
        caption="" if taken_down else row["caption"],
        shard=row["shard"],
        tar_offset=row["tar_offset"],
        tar_bytes=row["tar_bytes"],
        taken_down=taken_down,
    )


def read_all_samples(dataset: Dataset) -> list[StoredSample]:
    """The samples of every shard that are not taken down, in shard and row order."""
    return [
        sample
        for shard in dataset.shards
        for sample in read_samples(dataset, shard)
        if not sample.taken_down
    ]


def iterate_images(dataset: Dataset, samples: Iterable[StoredSample]) -> Iterator[bytes]:
    """The stored image of each sample, in order, empty for a taken-down one.

    A tar is opened once per run of samples in it.

    Raises:
        StorageError: a tar cannot be read, or holds no sample or image at a sample's place.
    """
    for shard, group in groupby(samples, key=lambda sample: sample.shard):
        with storage.open_read(storage.join(shards_folder(dataset.root), f"{shard}.tar")) as file:
            for sample in group:
                if sample.taken_down:
                    yield b""
                    continue
                file.seek(sample.tar_offset)
                try:
                    image, _ = image_and_members(file.read(sample.tar_bytes))
                except BadSampleError as error:
                    place = f"byte {sample.tar_offset} of {shard}.tar"
                    raise StorageError(f"{place}, uid={sample.uid}: {error}") from error
                yield image


def read_funnel(dataset: Dataset, filter_name: str | None) -> dict[str, int]:
    """Every candidate by what became of it: drop reasons by falling count, then `kept`.

    The counts add up to the candidates: of the finished shards, or of the filter when it was made.
    """
    if filter_name is not None:
        path = storage.join(filter_folder(dataset.root, filter_name), "funnel.json")
        funnel = json.loads(storage.read_bytes(path))
        return dict(Counter(funnel["reasons"]).most_common()) | {KEPT: funnel["kept"]}
    rows = read_rows(dataset.root, ["status", "reason"])
    outcomes = zip(rows["status"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    counts = Counter(KEPT if status == SUCCESS else reason for status, reason in outcomes)
    kept = counts.pop(KEPT, 0)
    return dict(counts.most_common()) | {KEPT: kept}
