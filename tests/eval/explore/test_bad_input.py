"""Pages of a dataset that is damaged, changed by a takedown, or shown without a model."""

import pyarrow as pa
import pyarrow.parquet as pq
from tests.eval.explore.conftest import captions, client_of, found
from tests.eval.explore.worlds import World

from diagonal_eval.explore.playground import Playground


def test_a_takedown_holds_at_once(own_world: World, model: Playground) -> None:
    client = client_of(own_world, model)
    row = own_world.samples[0]
    before = found(client, "/histogram", column="width")["known"]
    assert client.get(f"/picture/{row['uid']}").status_code == 200
    stones = pa.table({"uid": [row["uid"]]})
    pq.write_table(stones, own_world.root / "tombstones.parquet")
    assert client.get(f"/picture/{row['uid']}?at=0").status_code == 404
    assert client.get(f"/sample/{row['uid']}").status_code == 404
    assert row["caption"] not in captions(found(client, "/shard/00000000")["cards"])
    assert row["caption"] not in captions(found(client, "/text", q="red square")["cards"])
    assert found(client, "/histogram", column="width")["known"] == before - 1
    assert found(client, "/sql", where="true", count=True)["matches"] == 27
    assert found(client, "/failed", reason="taken_down")["cards"] == []


def test_without_a_model_the_pages_say_so(world: World) -> None:
    client = client_of(world)
    assert "Started without --model" in client.get("/").text
    assert "Zero-shot" not in client.get("/").text
    for path in ("/api/text?q=red", "/api/zeroshot", "/api/matrix"):
        answer = client.get(path)
        assert answer.status_code == 400
        assert "--model" in answer.json()["error"]
    assert found(client, f"/like/{world.samples[1]['uid']}")["cards"]


def test_damaged_files_are_named(own_world: World, model: Playground) -> None:
    client = client_of(own_world, model)
    shards = own_world.root / "shards"
    tar = shards / "00000001.tar"
    tar.write_bytes(b"\0" * tar.stat().st_size)
    uid = own_world.rows["00000001"][3]["uid"]
    damaged = client.get(f"/picture/{uid}")
    assert damaged.status_code == 500
    assert "00000001.tar is damaged at byte" in damaged.json()["error"]
    batch = found(client, "/matrix", shard="00000001", count=4)
    assert len(batch["problems"]) == 4
    tar.unlink()
    assert "00000001.tar" in client.get(f"/picture/{uid}").json()["error"]
    table = shards / "00000000.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    broken = client.get("/shard/00000000")
    assert broken.status_code == 500
    assert 'role="alert"' in broken.text
    assert client.get("/").status_code == 200


def test_a_half_written_score_table_is_a_problem_of_one_sample_only(
    own_world: World, model: Playground
) -> None:
    table = own_world.root / "scores" / "clip" / "demo" / "00000001.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    client = client_of(own_world, model)
    sample = found(client, f"/sample/{own_world.rows['00000001'][0]['uid']}")
    assert "scores clip/demo of shard 00000001" in sample["problems"][0]
    assert "dedup/exact" in sample["scores"]
    other = found(client, f"/sample/{own_world.samples[0]['uid']}")
    assert other["problems"] == []
    refused = client.get("/api/histogram", params={"column": "clip_similarity"})
    assert "00000001.parquet' cannot be read" in refused.json()["error"]
