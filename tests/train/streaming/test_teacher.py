import io
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.train.streaming.tars import archive

from diagonal_infra.errors import UserError
from diagonal_train.stream import StreamConfig, batches, dataloader
from diagonal_train.streaming.reader import BadSampleError
from diagonal_train.streaming.teacher import packed, teacher_rows

WIDTH = 6
Config = Callable[..., StreamConfig]


def rows_of(number: int, captions: int = 1) -> np.ndarray:
    """Tells the sample and the row."""
    return np.tile(10 * number + 1 + np.arange(captions + 1.0)[:, None], (1, WIDTH))


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), (number, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def saved(rows: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows, **options)
    return buffer.getvalue()


def write_shard(path: Path, members: dict[int, bytes | None], captions: str = "txt") -> str:
    """Samples whose teacher's member is as given, or as it should be; None is without."""
    content = []
    for number in range(32):
        content += [(f"{number:04d}.jpg", jpeg(number)), (f"{number:04d}.txt", b"a picture")]
        if captions != "txt":
            content.append((f"{number:04d}.json", b'{"captions": ["one", "two", "three"]}'))
        member = members.get(number, packed(rows_of(number, 1 if captions == "txt" else 3)))
        if member is not None:
            content.append((f"{number:04d}.teacher.npy", member))
    path.write_bytes(archive(content))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Makes a stream of one shard of 32 samples; arguments replace fields."""
    fields: dict[str, Any] = {"global_batch_size": 8, "lanes": 4, "window": 4, "image_size": 8}
    fields |= {"context_length": 8, "teacher": "teacher", "index_cache": str(tmp_path / "index")}
    return lambda data, **changes: StreamConfig(data=data, **fields | changes)


def numbers_of(teacher_B2E: torch.Tensor, row: int) -> list[float]:
    assert (teacher_B2E[:, row] == teacher_B2E[:, row, :1]).all()
    return teacher_B2E[:, row, 0].tolist()


def test_embeddings_come_with_the_sample_they_are_of(config: Config, tmp_path: Path) -> None:
    data = write_shard(tmp_path / "0.tar", {})
    for batch in itertools.islice(batches(config(data)), 8):
        assert batch.teacher is not None
        assert batch.teacher.dtype == torch.float16
        keys = [int(uid) for uid in batch.uids]
        assert numbers_of(batch.teacher, 0) == [10 * key + 1 for key in keys]
        assert numbers_of(batch.teacher, 1) == [10 * key + 2 for key in keys]


def test_the_texts_embedding_is_that_of_the_caption_drawn(config: Config, tmp_path: Path) -> None:
    data = write_shard(tmp_path / "0.tar", {}, captions="json")
    stream = config(data, captions=("json:captions",), context_length=4)
    seen = set()
    for batch in itertools.islice(batches(stream), 8):
        assert batch.teacher is not None
        drawn = [n % 10 for n in numbers_of(batch.teacher, 1)]
        seen |= set(zip(batch.tokens[:, 1].tolist(), drawn, strict=True))
    assert sorted(row for _, row in seen) == [2, 3, 4]
    assert len({token for token, _ in seen}) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_and_resumes_give_the_same(
    config: Config, tmp_path: Path, workers: int
) -> None:
    stream = config(write_shard(tmp_path / "0.tar", {3: b"", 9: None}))
    whole = list(itertools.islice(batches(stream), 6))
    found = dataloader(stream, num_workers=workers, samples_seen=16).take(4)
    for left, right in zip(whole[2:], found, strict=True):
        assert left.uids == right.uids
        assert left.teacher is not None
        assert right.teacher is not None
        assert torch.equal(left.teacher, right.teacher)


BROKEN = {
    "empty": b"",
    "no array": b"not NumPy's",
    "cut": packed(rows_of(5))[:-2],
    "longer": packed(rows_of(5)) + b"\0",
    "a row too few": packed(rows_of(5)[:1]),
    "a row too many": packed(rows_of(5, 2)),
    "wider": packed(np.ones((2, WIDTH + 1))),
    "not a number": packed(np.where(np.eye(2, WIDTH), np.nan, 1)),
    "infinite": packed(np.full((2, WIDTH), np.inf)),
    "beyond float16": saved(np.full((2, WIDTH), 1e9, "<f4")),
    "zeros": packed(np.zeros((2, WIDTH))),
    "integers": saved(np.ones((2, WIDTH), "<i2")),
    "by columns": saved(np.asfortranarray(np.ones((2, WIDTH), "<f2"))),
    "pickled": saved(np.array([[1, None]], object), allow_pickle=True),
    "huge": saved(np.ones((2, WIDTH), "<f2")).replace(b"(2, 6)", b"(2, 9999999999)"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_member_makes_a_bad_sample(config: Config, tmp_path: Path, content: bytes) -> None:
    data = write_shard(tmp_path / "0.tar", {5: content})
    one_pass = list(itertools.islice(batches(config(data)), 4))
    assert sum(batch.replaced.total() for batch in one_pass) == 1
    assert sum(batch.replaced["teacher_broken"] for batch in one_pass) == 1
    assert all("0005" not in batch.uids for batch in one_pass)
    assert all(batch.teacher is not None and batch.teacher.isfinite().all() for batch in one_pass)


def test_a_missing_member_has_its_own_cause(config: Config, tmp_path: Path) -> None:
    data = write_shard(tmp_path / "0.tar", {5: None})
    causes = sum((b.replaced for b in itertools.islice(batches(config(data)), 4)), start=Counter())
    assert causes == {"teacher_missing": 1}


def test_float32_is_read_too() -> None:
    rows = teacher_rows({"teacher.npy": saved(np.ones((2, WIDTH), "<f4"))}, "teacher", 1)
    assert rows.dtype == np.float16
    with pytest.raises(BadSampleError, match="teacher_missing"):
        teacher_rows({"teacher.npy": b""}, "other", 1)


def test_data_without_a_teacher_is_refused(config: Config, tmp_path: Path) -> None:
    data = write_shard(tmp_path / "0.tar", dict.fromkeys(range(32)))
    with pytest.raises(UserError, match=r"none of 16 samples of .*0\.tar.* teacher\.npy; write"):
        next(batches(config(data)))
    good = write_shard(tmp_path / "1.tar", {})
    with pytest.raises(UserError, match=r"of .*0\.tar"):
        next(batches(config(f"{good}::{data}")))
    assert next(batches(config(data, teacher=None))).teacher is None


def test_sources_of_different_widths_are_refused(config: Config, tmp_path: Path) -> None:
    wide = dict.fromkeys(range(32), packed(np.ones((2, WIDTH + 1))))
    left, right = write_shard(tmp_path / "0.tar", {}), write_shard(tmp_path / "1.tar", {**wide})
    with pytest.raises(UserError, match="differ in width"):
        next(batches(config(f"{left}::{right}")))


def test_a_name_that_is_no_extension_is_refused(config: Config) -> None:
    with pytest.raises(ValueError, match="--teacher is made of"):
        config("x", teacher="Big.Model")
