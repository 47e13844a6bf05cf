"""Nearest pictures by brute force over mapped sidecars."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.eval.explore.conftest import client_of
from tests.eval.explore.worlds import World

from diagonal_data.filters.match import Deadline
from diagonal_eval.explore import embeddings
from diagonal_eval.explore.embeddings import open_sidecar, search, sidecar_path
from diagonal_eval.explore.playground import Playground
from diagonal_eval.explore.row_index import ABSENT, RowIndex

SHARDS = ("00000000", "00000001")


def write(folder: Path, shard: str, rows: np.ndarray, **more: Any) -> None:
    path = Path(sidecar_path(str(folder), "m", shard))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, image=rows, source=np.array("s"), **more)


def index_for(targets: dict[str, np.ndarray]) -> RowIndex:
    none = np.empty(0, np.uint64)
    return RowIndex(
        reasons=("",),
        codes=np.empty(0, np.int16),
        targets=targets,
        digests={},
        keys=none,
        places=none.astype(np.uint32),
    )


def test_a_local_sidecar_is_mapped_and_equal_to_what_numpy_reads(tmp_path: Path) -> None:
    rows_ND = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float16)
    write(tmp_path, SHARDS[0], rows_ND, model=np.array("run"))
    sidecar = open_sidecar(str(tmp_path), "m", SHARDS[0])
    assert isinstance(sidecar.image_ND, np.memmap)
    np.testing.assert_array_equal(sidecar.image_ND, rows_ND)
    assert (sidecar.source, sidecar.model) == ("s", "run")
    path = Path(sidecar_path(str(tmp_path), "m", SHARDS[1]))
    np.savez_compressed(path, image=rows_ND, source=np.array("s"))
    np.testing.assert_array_equal(open_sidecar(str(tmp_path), "m", SHARDS[1]).image_ND, rows_ND)


def test_search_gives_what_sorting_all_cosines_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "BLOCK_ROWS", 16)
    rng = np.random.default_rng(1)
    rows_ND = rng.normal(size=(100, 8)).astype(np.float16)
    rows_ND[[3, 50]], rows_ND[7] = 0, np.nan
    targets = np.arange(100, dtype=np.uint32)
    targets[11] = ABSENT
    write(tmp_path, SHARDS[0], rows_ND[:60])
    write(tmp_path, SHARDS[1], rows_ND[60:])
    index = index_for({SHARDS[0]: targets[:60], SHARDS[1]: targets[60:]})
    query_D = rng.normal(size=8).astype(np.float32)
    cosine_N = rows_ND.astype(np.float32) @ query_D
    cosine_N[[3, 7, 11, 50]] = -np.inf
    read = partial(open_sidecar, str(tmp_path), "m")
    found = search(SHARDS, read, index, query_D, 20, Deadline(60))
    assert found.places.tolist() == np.argsort(-cosine_N, kind="stable")[:20].tolist()
    assert (found.shards_done, found.problems) == (2, [])
    assert search(SHARDS, read, index, query_D, 20, Deadline(0)).shards_done == 1


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_a_half_written_sidecar_is_named_and_the_others_are_searched(
    own_world: World, model: Playground, cut: int
) -> None:
    path = Path(sidecar_path(own_world.dataset, "demo", "00000000"))
    path.write_bytes(path.read_bytes()[:cut])
    answer = client_of(own_world, model).get("/api/text", params={"q": "red square"})
    found = answer.json()
    assert "00000000.npz" in found["problems"][0]
    assert "delete it and run 'make scores' again" in found["problems"][0]
    assert found["shards_done"] == 2
    assert found["cards"][0]["shard"] != "00000000"


def test_embeddings_of_another_model_are_refused_by_name(
    own_world: World, model: Playground
) -> None:
    for shard in own_world.rows:
        path = Path(sidecar_path(own_world.dataset, "demo", shard))
        with np.load(path) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        np.savez(path, **(kept | {"source": np.array("other"), "model": np.array("other-run")}))  # pyright: ignore[reportArgumentType]  # numpy's stub takes the arrays for allow_pickle
    client = client_of(own_world, model)
    refused = client.get("/api/text", params={"q": "red"})
    assert refused.status_code == 400
    assert "embeddings demo are of another model than --model (colours)" in refused.json()["error"]
    # By picture any embeddings will do.
    uid = own_world.samples[2]["uid"]
    assert client_of(own_world).get(f"/api/like/{uid}").json()["cards"]


def test_without_embeddings_the_message_says_how_to_make_them(
    own_world: World, model: Playground
) -> None:
    for shard in own_world.rows:
        Path(sidecar_path(own_world.dataset, "demo", shard)).unlink()
    (own_world.root / "embeddings" / "demo").rmdir()
    refused = client_of(own_world, model).get("/api/text", params={"q": "red"})
    assert "diagonal_eval.scores clip --dataset" in refused.json()["error"]


def test_embeddings_of_other_rows_are_named(own_world: World, model: Playground) -> None:
    path = Path(sidecar_path(own_world.dataset, "demo", "00000001"))
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    np.savez(path, **(kept | {"image": kept["image"][:5]}))  # pyright: ignore[reportArgumentType]  # as above
    found = client_of(own_world, model).get("/api/text", params={"q": "red"}).json()
    assert "00000001 have 5 rows, it has 16 samples" in found["problems"][0]
