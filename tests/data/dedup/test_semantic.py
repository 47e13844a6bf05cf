import logging
from pathlib import Path

import numpy as np
import pytest
from tests.data.dedup.small_dataset import (
    column,
    picture,
    row_for,
    write_dataset,
    write_embeddings,
)

from diagonal_data.dedup import semantic
from diagonal_data.dedup.config import SemanticConfig
from diagonal_data.dedup.semantic import assign, max_similarity_before, write_similarities
from diagonal_infra.errors import UserError

WIDTH = 16


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def naive_statistic(rows: np.ndarray, clusters: np.ndarray, nearness: np.ndarray) -> list[float]:
    found = [-1.0] * len(rows)
    for cluster in set(clusters.tolist()):
        members = [row for row in range(len(rows)) if clusters[row] == cluster]
        members.sort(key=lambda row: (nearness[row], row))
        for place, row in enumerate(members[1:], start=1):
            before = [float(rows[row] @ rows[other]) for other in members[:place]]
            found[row] = max(before)
    return found


def test_the_statistic_is_that_of_a_loop_over_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "BLOCK", 7)
    rows = unit_rows(120).astype(np.float32)
    clusters, nearness = assign(rows, unit_rows(3, seed=1).astype(np.float32))
    nearest = (rows @ unit_rows(3, seed=1).astype(np.float32).T).max(axis=1)
    assert nearness == pytest.approx(nearest, abs=1e-5)
    found = max_similarity_before(rows, clusters, nearness)
    assert found.tolist() == pytest.approx(naive_statistic(rows, clusters, nearness), abs=1e-5)
    assert (found == -1).sum() == 3


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Two shards of 20 rows; row 21 is row 3 again, row 5 has no embedding."""
    rows = [row_for(number, picture(number)) for number in range(40)]
    path = write_dataset(tmp_path / "d", [[*rows[:20], row_for(90, None)], rows[20:]])
    image_ND = unit_rows(40)
    image_ND[21], image_ND[5] = image_ND[3], 0
    for shard in range(2):
        own = slice(20 * shard, 20 * shard + 20)
        uids = [row["uid"] for row in rows[own]]
        write_embeddings(path, "m", f"{shard:08d}", image_ND[own], uids, source=f"s{shard}")
    return path


def config_for(dataset: str, clusters: int = 2) -> SemanticConfig:
    return SemanticConfig(dataset=dataset, embeddings="m", clusters=clusters)


def similarities(dataset: str) -> list[float]:
    return column(dataset, "dedup", "semantic", "semantic_max_similarity")


def test_a_repeated_row_is_found_and_one_without_embedding_is_like_nothing(dataset: str) -> None:
    write_similarities(config_for(dataset))
    found = similarities(dataset)
    assert max(found[3], found[21]) == pytest.approx(1, abs=1e-3)
    assert sum(value > 0.99 for value in found) == 1
    clusters = column(dataset, "dedup", "semantic", "semantic_cluster")
    assert (found[5], clusters[5]) == (-1, None)
    assert {value for value in clusters if value is not None} == {0, 1}


def test_a_killed_run_goes_on_behind_the_k_means(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_similarities(config_for(dataset))
    whole = similarities(dataset)
    (Path(dataset) / "scores/dedup/semantic/00000001.parquet").unlink()
    assert write_similarities(config_for(dataset)) is not None
    assert similarities(dataset) == whole
    assert write_similarities(config_for(dataset)) is None
    # With the centroids there, none are computed, so a change of them would be seen.
    path = Path(dataset) / "scores/dedup/semantic/centroids.npz"
    with np.load(path) as arrays:
        one_centroid = arrays["centroids"][:1]
        np.savez(path, centroids=one_centroid, source=arrays["source"])
    (Path(dataset) / "scores/dedup/semantic/00000001.parquet").unlink()
    write_similarities(config_for(dataset))
    clusters = column(dataset, "dedup", "semantic", "semantic_cluster")
    assert set(clusters[20:]) == {0}


def test_new_embeddings_are_computed_anew(dataset: str) -> None:
    write_similarities(config_for(dataset))
    uids = [f"{number:032x}" for number in range(20, 40)]
    write_embeddings(dataset, "m", "00000001", unit_rows(20, seed=5), uids, source="new")
    assert write_similarities(config_for(dataset)) is not None
    assert max(similarities(dataset)) < 0.99


def test_rows_that_are_all_equal_leave_one(dataset: str) -> None:
    for shard in range(2):
        uids = [f"{number:032x}" for number in range(20 * shard, 20 * shard + 20)]
        same = np.repeat(unit_rows(1), 20, axis=0)
        write_embeddings(dataset, "m", f"{shard:08d}", same, uids, source="same")
    write_similarities(config_for(dataset, clusters=1))
    found = similarities(dataset)
    assert found[0] == -1
    assert min(found[1:]) > 0.99


def test_one_row_and_no_row_with_an_embedding_are_no_trouble(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [[row_for(0, picture(0))]])
    write_embeddings(dataset, "m", "00000000", unit_rows(1), [f"{0:032x}"], source="a")
    write_similarities(config_for(dataset))
    assert similarities(dataset) == [-1]
    nothing = np.zeros((1, WIDTH))
    write_embeddings(dataset, "m", "00000000", nothing, [f"{0:032x}"], source="b")
    write_similarities(config_for(dataset))
    assert similarities(dataset) == [-1]


def test_a_row_that_is_not_finite_is_none_and_said(
    dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    uids = [f"{number:032x}" for number in range(20, 40)]
    broken = unit_rows(20, seed=5)
    broken[4, 2] = np.nan
    write_embeddings(dataset, "m", "00000001", broken, uids, source="nan")
    with caplog.at_level(logging.WARNING):
        write_similarities(config_for(dataset))
    assert "rows not finite" in caplog.text
    assert similarities(dataset)[24] == -1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"model": "another"}, "shard 00000001 are of model 'another', width 16"),
        ({"image_ND": np.ones((20, 8))}, "are of model 'm', width 8, those of the first"),
        ({"uids": ["0" * 32] * 20}, "shard 00000001 are of other rows"),
        ({"uids": ["0" * 32]}, r"has 1 names for rows of shape \(20, 16\)"),
    ],
)
def test_embeddings_of_something_else_are_the_users_mistake(
    dataset: str, broken: dict, message: str
) -> None:
    uids = [f"{number:032x}" for number in range(20, 40)]
    arrays = {"image_ND": unit_rows(20), "uids": uids} | broken
    write_embeddings(dataset, "m", "00000001", **arrays)
    with pytest.raises(UserError, match=message):
        write_similarities(config_for(dataset))


@pytest.mark.parametrize(("content", "message"), [(None, "no embeddings at"), (b"x", "holds no")])
def test_embeddings_that_cannot_be_read_are_the_users_mistake(
    dataset: str, content: bytes | None, message: str
) -> None:
    path = Path(dataset) / "embeddings/m/00000001.npz"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        write_similarities(config_for(dataset))
