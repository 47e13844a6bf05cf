import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diagonal_eval.dataset import (
    content_digest,
    iterate_images,
    open_dataset,
    read_all_samples,
    read_funnel,
    read_samples,
)
from diagonal_infra.errors import StorageError, UserError


def test_samples_are_read_in_shard_and_row_order(tiny_world: Any) -> None:
    dataset = open_dataset(tiny_world.dataset)
    samples = read_all_samples(dataset)
    assert len(samples) == tiny_world.num_samples
    assert [sample.shard for sample in samples] == sorted(sample.shard for sample in samples)
    images = list(iterate_images(dataset, samples))
    assert all(Image.open(io.BytesIO(image)).size == (20, 20) for image in images)


def test_digest_follows_the_content_and_not_the_place(tiny_world: Any, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_world.dataset)
    copy = shutil.copytree(tiny_world.dataset, tmp_path / "copy")
    assert open_dataset(str(copy)).digest == dataset.digest
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace(dataset.sha256s[0], "0" * 64))
    assert open_dataset(str(copy)).digest != dataset.digest


def test_digest_tells_borders_of_parts() -> None:
    assert content_digest("ab", "c") != content_digest("a", "bc")


def test_funnel_adds_up_with_and_without_filter(tiny_world: Any) -> None:
    dataset = open_dataset(tiny_world.dataset)
    stored, filtered = read_funnel(dataset, None), read_funnel(dataset, "demo")
    assert stored == {"timed_out": 2, "kept": tiny_world.num_samples}
    assert sum(filtered.values()) == tiny_world.num_candidates
    assert list(filtered)[-1] == "kept"


def test_a_taken_down_sample_is_not_read(tiny_world: Any) -> None:
    dataset = open_dataset(tiny_world.dataset)
    gone = read_samples(dataset, "00000000")[3]
    table = pa.table({"uid": [gone.uid]})
    pq.write_table(table, Path(tiny_world.dataset) / "tombstones.parquet")
    assert gone.uid not in {sample.uid for sample in read_all_samples(dataset)}
    marked = read_samples(dataset, "00000000")[3]
    assert (marked.caption, list(iterate_images(dataset, [marked]))) == ("", [b""])


def test_missing_things_are_user_errors(tiny_world: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        open_dataset(str(tmp_path / "nowhere"))
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"shards": []}')
    with pytest.raises(UserError, match="no shards found"):
        open_dataset(str(tmp_path))


def test_bytes_that_are_no_sample_are_a_storage_error(tiny_world: Any) -> None:
    dataset = open_dataset(tiny_world.dataset)
    sample = read_samples(dataset, "00000000")[0]
    Path(dataset.root, "shards", "00000000.tar").write_bytes(bytes(10_000))
    with pytest.raises(StorageError, match=rf"00000000\.tar, uid={sample.uid}: tar_broken"):
        list(iterate_images(dataset, [sample]))
