from pathlib import Path

import numpy as np
import pytest
from tests.data.filters.datasets import pool_of, reasons_of, row, write_dataset

from diagonal_data.filters.config import Nearest
from diagonal_data.filters.nearest import nearest_centroid
from diagonal_infra.errors import UserError

COUNT = 40
ROWS = [row(i) for i in range(COUNT)]


@pytest.fixture
def rule(tmp_path: Path) -> Nearest:
    """Embeddings of all samples but for zeros in the last, in an order of their own."""
    rng = np.random.default_rng(0)
    write_dataset(tmp_path, [ROWS[:15], ROWS[15:]])
    vectors = rng.normal(size=(COUNT, 8)).astype(np.float16)
    vectors[-1] = 0
    folder = tmp_path / "embeddings" / "m"
    folder.mkdir(parents=True)
    for number, part in enumerate((np.arange(15), rng.permutation(np.arange(15, COUNT)))):
        uids = np.array([ROWS[i]["uid"] for i in part])
        np.savez(folder / f"{number:08d}.npz", image=vectors[part], uid=uids)
    np.save(tmp_path / "vectors.npy", vectors)
    np.save(tmp_path / "centroids.npy", rng.normal(size=(6, 8)))
    np.save(tmp_path / "targets.npy", rng.normal(size=(2, 8)))
    return Nearest(
        embeddings="m",
        centroids=str(tmp_path / "centroids.npy"),
        targets=str(tmp_path / "targets.npy"),
    )


def by_loops(vectors: np.ndarray, centroids: np.ndarray) -> list[int]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return [int(np.argmax([cosine(v.astype(float), c) for c in centroids])) for v in vectors]


def test_the_nearest_centroid_is_that_of_plain_loops() -> None:
    rng = np.random.default_rng(1)
    vectors, centroids = rng.normal(size=(3000, 5)), rng.normal(size=(17, 5))
    assert nearest_centroid(vectors, centroids).tolist() == by_loops(vectors, centroids)


def test_pictures_far_from_the_targets_are_dropped(rule: Nearest, tmp_path: Path) -> None:
    centroids, targets = np.load(rule.centroids), np.load(rule.targets)
    wanted = set(by_loops(targets, centroids))
    nearest = by_loops(np.load(tmp_path / "vectors.npy")[:-1], centroids)
    expected = ["" if number in wanted else "far_from_targets" for number in nearest]
    assert reasons_of(pool_of(str(tmp_path), nearest=rule)) == [*expected, "no_embedding"]
    assert 0 < expected.count("") < COUNT - 1


def test_what_the_rule_lacks_is_named(rule: Nearest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no embeddings 'other'.*scores clip --dataset"):
        pool_of(str(tmp_path), nearest=Nearest(**{**vars(rule), "embeddings": "other"}))
    with pytest.raises(UserError, match=r"--nearest\.targets"):
        pool_of(str(tmp_path), nearest=Nearest(**{**vars(rule), "targets": "absent.npy"}))
    np.save(tmp_path / "centroids.npy", np.zeros((3, 4)))
    with pytest.raises(UserError, match="take both from one model"):
        pool_of(str(tmp_path), nearest=rule)
