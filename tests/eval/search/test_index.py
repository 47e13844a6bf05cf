"""Indexes of the tiny dataset: built once, found again, and never one of other shards."""

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.eval.search.conftest import change_arrays, stored

from diagonal_eval.embed import Encoder
from diagonal_eval.search import index as index_module
from diagonal_eval.search.command import search
from diagonal_eval.search.config import SearchConfig
from diagonal_eval.search.index import open_index, read_index
from diagonal_eval.search.sources import Embeddings, own_embeddings
from diagonal_infra.errors import UserError

KINDS = ("flat", "hnsw", "ivf")


@pytest.fixture
def embeddings(config: SearchConfig, colour_encoder: Encoder) -> Embeddings:
    return again(config, colour_encoder)


def again(config: SearchConfig, encoder: Encoder) -> Embeddings:
    return own_embeddings(config.dataset, encoder, checkpoint="any", name="", batch_size=8)


def index_files(dataset: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(dataset).rglob("*.faiss")}


def brute_force(dataset: str, query_D: np.ndarray, key: str = "image") -> list[float]:
    _, rows_ND = stored(dataset, key)
    return sorted((rows_ND @ query_D).tolist(), reverse=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["image", "text"])
def test_an_index_finds_what_brute_force_finds(
    embeddings: Embeddings, config: SearchConfig, kind: str, key: Any
) -> None:
    query_D = np.random.default_rng(3).standard_normal(8).astype(np.float32)
    query_D /= np.linalg.norm(query_D)
    found = open_index(embeddings, key, kind, 8)
    cosines = [cosine for _, _, cosine in found.nearest(query_D, 12, all_rows=True)]
    np.testing.assert_allclose(cosines, brute_force(config.dataset, query_D, key)[:12], atol=1e-5)


def test_a_found_row_is_the_row_of_its_shard(embeddings: Embeddings) -> None:
    query_D = embeddings.rows("00000001", "image")[4].astype(np.float32)
    found = open_index(embeddings, "image", "flat", 8).nearest(query_D, 100)
    assert len(found) == embeddings.samples
    for shard, row, cosine in found:
        own_D = embeddings.rows(shard, "image")[row].astype(np.float32)
        assert cosine == pytest.approx(float(own_D @ query_D), abs=1e-5)
    assert [(shard, row) for shard, row, _ in found[:3] if shard == "00000001"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_built_once(
    embeddings: Embeddings, config: SearchConfig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_D = np.eye(8, dtype=np.float32)[0]
    first = open_index(embeddings, "image", kind, 8).nearest(query_D, 10)
    before = index_files(config.dataset)
    assert [name.rsplit("-", 1)[0] for name in before] == [f"index-image-{kind}"]
    monkeypatch.delattr(index_module, "build_index")
    assert open_index(embeddings, "image", kind, 8).nearest(query_D, 10) == first
    assert index_files(config.dataset) == before


def test_an_index_is_built_again_when_a_shard_changes_and_the_old_one_goes(
    embeddings: Embeddings, config: SearchConfig, colour_encoder: Encoder
) -> None:
    open_index(embeddings, "image", "flat", 8)
    (before,) = index_files(config.dataset)
    path = Path(config.dataset, "manifest.json")
    manifest = json.loads(path.read_text())
    last = manifest["shards"].pop()
    path.write_text(json.dumps(manifest))
    found = open_index(again(config, colour_encoder), "image", "flat", 8)
    assert len(found) == embeddings.samples - last["samples"]
    (after,) = index_files(config.dataset)
    assert after != before


def test_an_index_from_before_a_compacted_takedown_is_not_used(
    embeddings: Embeddings, config: SearchConfig, colour_encoder: Encoder
) -> None:
    open_index(embeddings, "image", "flat", 8)
    path = Path(config.dataset, "manifest.json")
    manifest = json.loads(path.read_text())
    shard = manifest["shards"][0]
    # What compaction leaves: another tar, the digest of the old one, a row less.
    manifest["shards"][0] |= {
        "built_sha256": shard["sha256"],
        "sha256": "0" * 64,
        "samples": shard["samples"] - 1,
    }
    path.write_text(json.dumps(manifest))
    change_arrays(
        config.dataset,
        shard["name"],
        lambda arrays: arrays.update({k: arrays[k][1:] for k in ("image", "text", "uid")}),
    )
    assert len(open_index(again(config, colour_encoder), "image", "flat", 8)) == (
        embeddings.samples - 1
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1]])
def test_a_half_written_index_is_ignored_and_built_again(
    embeddings: Embeddings, config: SearchConfig, kind: str, damage: Any
) -> None:
    query_D = np.eye(8, dtype=np.float32)[0]
    right = open_index(embeddings, "image", kind, 8).nearest(query_D, 10)
    (path,) = Path(config.dataset).rglob("*.faiss")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert read_index(str(path)) is None
    assert open_index(embeddings, "image", kind, 8).nearest(query_D, 10) == right
    assert len(path.read_bytes()) == len(whole)


def test_a_file_of_other_bytes_of_the_right_length_is_ignored(
    embeddings: Embeddings, config: SearchConfig
) -> None:
    open_index(embeddings, "image", "flat", 8)
    (path,) = Path(config.dataset).rglob("*.faiss")
    content = path.read_bytes()
    path.write_bytes(bytes(len(content) - 8) + content[-8:])
    assert read_index(str(path)) is None


def test_rows_of_zeros_or_not_finite_are_never_found(
    embeddings: Embeddings, config: SearchConfig
) -> None:
    def spoil(arrays: dict[str, np.ndarray]) -> None:
        arrays["image"][0] = 0
        arrays["image"][1] = np.nan
        arrays["image"][2, 3] = np.inf

    change_arrays(config.dataset, "00000000", spoil)
    found = open_index(embeddings, "image", "flat", 8).nearest(np.ones(8, np.float32), 1000)
    rows = {row for shard, row, _ in found if shard == "00000000"}
    assert len(found) == embeddings.samples - 3
    assert not rows & {0, 1, 2}
    assert all(np.isfinite(cosine) for _, _, cosine in found)


def test_embeddings_of_another_width_are_refused(
    embeddings: Embeddings, config: SearchConfig
) -> None:
    change_arrays(
        config.dataset, "00000001", lambda arrays: arrays.update(image=arrays["image"][:, :5])
    )
    with pytest.raises(UserError, match=r"shard 00000001 are 5 wide, the model's are 8"):
        open_index(embeddings, "image", "flat", 8)


def test_a_dataset_without_any_embedding_is_refused(
    embeddings: Embeddings, config: SearchConfig
) -> None:
    for shard in embeddings.dataset.shards:
        change_arrays(
            config.dataset, shard, lambda arrays: arrays.update(image=arrays["image"] * 0)
        )
    with pytest.raises(UserError, match=r"none of the \d+ samples .* has an embedding"):
        open_index(embeddings, "image", "flat", 8)


def test_where_nothing_can_be_stored_the_search_works_all_the_same(
    embeddings: Embeddings, config: SearchConfig, caplog: pytest.LogCaptureFixture
) -> None:
    expected = [hit.row["uid"] for hit in search(config)]
    (path,) = Path(config.dataset).rglob("*.faiss")
    path.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        found = [hit.row["uid"] for hit in search(config)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found == expected
    assert "index not stored" in caplog.text
    assert not list(path.parent.glob("index-*.faiss"))


def test_equal_rows_come_in_the_order_of_the_dataset(embeddings: Embeddings) -> None:
    found = open_index(embeddings, "image", "flat", 8)
    query_D = embeddings.rows("00000000", "image")[0].astype(np.float32)
    nearest = found.nearest(query_D, 1000)
    ordered = sorted(nearest, key=lambda each: (-each[2], each[0], each[1]))
    assert nearest == ordered
