"""Reading a finished dataset folder: shards, samples by byte range, keep lists, funnels.

DATASET/manifest.json             which shards are finished
DATASET/shards/NAME.parquet       rows; `tar_offset`, `tar_bytes` place a sample in NAME.tar
DATASET/filters/NAME/             keep.npy, funnel.json
DATASET/tombstones.parquet        taken-down uids: their pictures and captions are not read
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import pyarrow.parquet as pq

from diagonal_data.filters.keep_list import filter_folder
from diagonal_data.filters.keep_list import read_keep_list as read_packed_uids
from diagonal_data.manifest import read_manifest, shards_folder
from diagonal_data.rows import read_rows, taken_down
from diagonal_data.tar import parse_sample
from diagonal_infra import storage
from diagonal_infra.errors import StorageError, UserError

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
SAMPLE_COLUMNS = ("uid", "url", "caption", "status", "tar_offset", "tar_bytes")
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
    """The finished shards of a dataset folder; `digest` names their content."""

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
    shards = sorted(read_manifest(root)["shards"], key=lambda shard: shard["name"])
    if not shards:
        raise UserError(f"no finished shard in {root!r}; run 'make shards' again")
    return Dataset(
        root=root,
        shards=tuple(shard["name"] for shard in shards),
        sha256s=tuple(shard["sha256"] for shard in shards),
    )


def read_samples(dataset: Dataset, shard: str) -> list[StoredSample]:
    """The samples of a shard, taken-down ones too, in the order of its row table."""
    with storage.open_read(storage.join(shards_folder(dataset.root), f"{shard}.parquet")) as file:
        rows = pq.read_table(file, columns=list(SAMPLE_COLUMNS))
    gone = taken_down(dataset.root, rows)
    return [
        StoredSample(
            uid=row["uid"],
            url=row["url"],
            caption="" if is_gone else row["caption"],
            shard=shard,
            tar_offset=row["tar_offset"],
            tar_bytes=row["tar_bytes"],
            taken_down=bool(is_gone),
        )
        for row, is_gone in zip(rows.to_pylist(), gone, strict=True)
        if row["status"] == SUCCESS
    ]


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
    """
    for shard, group in groupby(samples, key=lambda sample: sample.shard):
        with storage.open_read(storage.join(shards_folder(dataset.root), f"{shard}.tar")) as file:
            for sample in group:
                if sample.taken_down:
                    yield b""
                    continue
                file.seek(sample.tar_offset)
                yield image_of(file.read(sample.tar_bytes), sample.uid)


def image_of(content: bytes, uid: str) -> bytes:
    """The image member among a sample's bytes.

    Raises:
        StorageError: the bytes are no sample or hold no image.
    """
    try:
        members = parse_sample(content).members
    except ValueError as error:
        raise StorageError(f"no sample in the tar at the place of uid={uid}: {error}") from error
    for extension in IMAGE_EXTENSIONS:
        if extension in members:
            return members[extension]
    raise StorageError(f"the sample of uid={uid} has no image, only {', '.join(members)}")


def read_kept_uids(dataset: Dataset, filter_name: str) -> set[str]:
    """The uids that the filter kept.

    Raises:
        UserError: the dataset has no such filter.
    """
    packed = read_packed_uids(dataset.root, filter_name)
    return {f"{high:016x}{low:016x}" for high, low in packed.tolist()}


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
