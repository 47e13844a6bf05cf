"""What is asked and what is found, on the tiny dataset, against brute force."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.eval.conftest import COLOURS, jpeg
from tests.eval.search.conftest import change_arrays, renamed, stored

from diagonal_data.tombstones import TOMBSTONE_SCHEMA
from diagonal_eval.embed import Encoder
from diagonal_eval.search.command import search
from diagonal_eval.search.config import SearchConfig
from diagonal_eval.search.query import question
from diagonal_eval.search.sources import own_embeddings
from diagonal_infra.errors import UserError


def uids(config: SearchConfig) -> list[str]:
    return [hit.row["uid"] for hit in search(config)]


def take_down(dataset: str, *gone: str) -> None:
    rows = [{"uid": uid} for uid in gone]
    table = pa.Table.from_pylist(rows, schema=TOMBSTONE_SCHEMA)
    pq.write_table(table, f"{dataset}/tombstones.parquet")


@pytest.mark.parametrize("kind", ["auto", "flat", "hnsw", "ivf"])
def test_hits_are_those_of_brute_force(
    config: SearchConfig, colour_encoder: Encoder, kind: Any
) -> None:
    hits = search(replace(config, index=kind, top=12))
    query_D = question(config, colour_encoder)
    names, rows_ND = stored(config.dataset)
    cosine_of = dict(zip(names, rows_ND @ query_D, strict=True))
    best = sorted(cosine_of.values(), reverse=True)[:12]
    np.testing.assert_allclose([hit.cosine for hit in hits], best, atol=1e-5)
    for hit in hits:
        assert cosine_of[hit.row["uid"]] == pytest.approx(hit.cosine, abs=1e-5)
    assert all(hit.row["url"].endswith("/0.png") for hit in hits[:4])


def test_a_picture_finds_its_like_and_its_captions(config: SearchConfig, tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(jpeg(COLOURS["blue square"]))
    config = replace(config, texts=(), image=str(picture))
    assert all("blue square" in hit.row["caption"] for hit in search(replace(config, top=5)))
    captions = search(replace(config, to="captions", top=5))
    assert all("blue square" in hit.row["caption"] for hit in captions)


def test_an_unwanted_text_pushes_its_samples_down(config: SearchConfig) -> None:
    config = replace(config, texts=("orange square",), top=8)
    plain = [hit.row["caption"] for hit in search(config)]
    assert any("yellow" in caption for caption in plain)
    pushed = search(replace(config, unwanted=("yellow square",), unwanted_weight=0.9))
    assert not any("yellow" in hit.row["caption"] for hit in pushed)


def test_what_is_taken_down_after_the_index_was_built_is_not_shown(config: SearchConfig) -> None:
    before = search(replace(config, top=config.top + 3))
    gone = {hit.row["uid"] for hit in before[:3]}
    take_down(config.dataset, *gone)
    after = search(config)
    assert not gone & {hit.row["uid"] for hit in after}
    assert [hit.cosine for hit in after] == [hit.cosine for hit in before[3:]]


def test_what_is_taken_down_does_not_make_the_hits_fewer_than_there_are(
    config: SearchConfig,
) -> None:
    everything = uids(replace(config, top=1000))
    take_down(config.dataset, *everything[:-2])
    for kind in ("flat", "hnsw", "ivf"):
        assert uids(replace(config, index=kind)) == everything[-2:]


def test_unique_leaves_out_equal_pictures(config: SearchConfig) -> None:
    hits = search(replace(config, top=1000, unique=1.0))
    rows = dict(zip(*stored(config.dataset), strict=True))
    vectors = np.stack([rows[hit.row["uid"]] for hit in hits])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    off_diagonal = (vectors @ vectors.T)[~np.eye(len(hits), dtype=bool)]
    assert off_diagonal.max() < 1
    assert len(hits) == len(np.unique(np.stack(list(rows.values())).round(3), axis=0))
    assert len(hits) < len(rows)


def test_more_than_there_are_gives_all(config: SearchConfig, tiny_world: Any) -> None:
    for kind in ("flat", "hnsw", "ivf"):
        found = uids(replace(config, index=kind, top=10_000))
        assert len(found) == len(set(found)) == tiny_world.num_samples


def test_embeddings_are_made_once_and_the_user_is_told(
    config: SearchConfig, caplog: pytest.LogCaptureFixture
) -> None:
    search(config)
    assert "2 of 2 shards have no embeddings of colours: computing them now" in caplog.text
    caplog.clear()
    search(config)
    assert "computing them now" not in caplog.text


def test_only_the_missing_shard_is_made(config: SearchConfig) -> None:
    expected = uids(config)
    first, second = (Path(config.dataset, "embeddings/clip", f"0000000{n}.npz") for n in (0, 1))
    before = first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:50])
    for path in Path(config.dataset).rglob("*.faiss"):
        path.unlink()
    assert uids(config) == expected
    assert first.stat().st_mtime_ns == before


def test_another_models_embeddings_are_neither_searched_nor_overwritten(
    config: SearchConfig, colour_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(config)
    before = Path(config.dataset, "embeddings/clip/00000000.npz").read_bytes()
    other = renamed(colour_encoder, "other")
    for module in ("scores.clip", "search.command"):
        monkeypatch.setattr(f"diagonal_eval.{module}.load_encoder", lambda *_, **__: other)
    with pytest.raises(UserError, match=r"'clip' are of another model than other"):
        search(replace(config, name="clip"))
    search(config)
    assert Path(config.dataset, "embeddings/clip/00000000.npz").read_bytes() == before
    assert Path(config.dataset, f"embeddings/clip-{other.digest[:8]}/00000000.npz").exists()


def test_an_unknown_name_is_made_under_that_name(config: SearchConfig) -> None:
    assert uids(replace(config, name="mine"))
    assert Path(config.dataset, "embeddings/mine/00000001.npz").exists()


def test_embeddings_of_other_samples_are_refused(config: SearchConfig) -> None:
    search(config)
    change_arrays(config.dataset, "00000000", lambda arrays: arrays.update(uid=arrays["uid"][::-1]))
    with pytest.raises(UserError, match=r"of shard 00000000 are of other samples"):
        search(replace(config, top=100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": ()}, "say what to look for"),
        ({"texts": (" ",)}, "an empty text"),
        ({"texts": (), "image": "gone.png"}, "'gone.png' cannot be read"),
        ({"unwanted": ("red square",), "unwanted_weight": 1.0}, "cancel out"),
        ({"dataset": "nowhere"}, "nowhere"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    config: SearchConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        search(replace(config, **change))


def test_a_picture_that_cannot_be_decoded_is_refused(config: SearchConfig, tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be decoded"):
        search(replace(config, texts=(), image=str(picture)))


def test_a_remote_dataset_is_searched_like_a_local_one(
    config: SearchConfig, memory_copy: Callable[[str], str]
) -> None:
    expected = [(hit.row["uid"], hit.cosine) for hit in search(config)]
    remote = replace(config, dataset=memory_copy(config.dataset))
    for _ in range(2):  # built, then read
        assert [(hit.row["uid"], hit.cosine) for hit in search(remote)] == expected


def test_where_there_is_an_index_the_shards_files_are_not_opened_for_the_question(
    config: SearchConfig, colour_encoder: Encoder
) -> None:
    search(config)
    for path in Path(config.dataset, "embeddings/clip").glob("*.npz"):
        path.rename(path.with_suffix(".away"))
    found = own_embeddings(config.dataset, colour_encoder, checkpoint="", name="", batch_size=1)
    assert found.are_indexed
    with pytest.raises(UserError, match="has no embeddings 'clip'"):
        search(config)  # which needs them to know whose the rows are
