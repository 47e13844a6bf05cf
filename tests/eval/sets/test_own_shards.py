from pathlib import Path

import pytest
from tests.data.stored import caption_of, image_of, uid_of, write_dataset
from tests.eval.sets.tiny_sets import config_for

from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.opening import open_set


def test_a_dataset_is_a_retrieval_set_of_its_pairs(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", shards=2, size=4)
    evalset = open_set(f"shards:{dataset}", config_for(tmp_path))
    stored = [0, 1, 2, 4, 5, 6]
    assert evalset.kind == "retrieval"
    assert evalset.keys == tuple(uid_of(i) for i in stored)
    assert evalset.captions == tuple((caption_of(i),) for i in stored)
    assert list(evalset.read([4, 0])) == [image_of(5), image_of(0)]


def test_the_digest_is_of_the_dataset(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    one = open_set(f"shards:{write_dataset(tmp_path / 'a', shards=2, size=4)}", config)
    same = open_set(f"shards:{write_dataset(tmp_path / 'b', shards=2, size=4)}", config)
    other = open_set(f"shards:{write_dataset(tmp_path / 'c', shards=1, size=4)}", config)
    assert one.digest == same.digest != other.digest


def test_a_dataset_that_is_not_there_is_absent(tmp_path: Path) -> None:
    with pytest.raises(AbsentSetError, match="nowhere"):
        open_set(f"shards:{tmp_path / 'nowhere'}", config_for(tmp_path))


def test_a_dataset_has_no_training_split(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", shards=1, size=4)
    with pytest.raises(AbsentSetError, match="no 'train'"):
        open_set(f"shards:{dataset}", config_for(tmp_path), "train")
