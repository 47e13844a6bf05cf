"""Each page and its JSON twin over HTTP."""

import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.eval.explore.conftest import captions, found
from tests.eval.explore.worlds import HOSTILE, World

from diagonal_eval.explore.pages import PAGES


def test_every_page_has_a_twin_and_shows_hostile_text_as_text(
    client: TestClient, world: World
) -> None:
    uid = world.hostile["uid"]
    fields = {"name": "00000000", "uid": uid}
    for path in PAGES:
        query = {"q": HOSTILE, "where": "caption like '%script%'", "a": "first", "b": "second"}
        url = path.format(**fields)
        page = client.get(url, params=query)
        twin = client.get("/api" if path == "/" else f"/api{url}", params=query)
        assert (page.status_code, twin.status_code) == (200, 200), path
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "49" not in re.findall(r"\"q\" .{0,20}", page.text)
        assert "script-src 'self'" in page.headers["content-security-policy"]


def test_the_front_page_counts_and_names_what_there_is(client: TestClient) -> None:
    overview = found(client, "")
    assert (overview["samples"], overview["candidates"], overview["shards"]) == (28, 29, 3)
    assert overview["reasons"] == {"timed_out": 1}
    assert overview["filters"] == ["first", "second"]
    assert overview["columns"]["clip_similarity"] == "float"
    assert overview["model"] == "colours"


def test_samples_of_a_shard_come_in_order_and_in_pages(client: TestClient, world: World) -> None:
    stored = [r["caption"] for r in world.rows["00000000"] if r["status"] == "success"]
    one = found(client, "/shard/00000000", limit=4)
    two = found(client, "/shard/00000000", start=4, limit=200)
    assert captions([*one["cards"], *two["cards"]]) == stored
    assert one["total"] == len(stored)
    assert [shard["name"] for shard in found(client, "/shards")["shards"]] == list(world.rows)


def test_failed_candidates_are_listed_but_not_those_that_a_retry_brought(
    client: TestClient,
) -> None:
    failed = found(client, "/failed")
    assert failed["reasons"] == {"timed_out": 1}
    assert captions(failed["cards"]) == ["gone <b>0</b>"]
    assert failed["cards"][0]["detail"] == "no <answer>"


def test_text_finds_the_nearest_pictures(client: TestClient) -> None:
    best = found(client, "/text", q="a blue square", limit=4)["cards"]
    assert sorted(captions(best)) == [
        "a blue square",
        "big blue square",
        "gone <b>1</b>",
        "small blue square",
    ]
    cosines = [card["values"]["cosine"] for card in best]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] > 0.99


def test_a_sample_finds_its_like(client: TestClient, world: World) -> None:
    red = next(row for row in world.samples if row["caption"] == "a red square")
    near = found(client, f"/like/{red['uid']}", limit=5)["cards"]
    assert all(
        row["colour"] == "red square"
        for card in near
        for row in world.samples
        if row["uid"] == card["uid"]
    )


def test_sql_pages_sorts_and_counts(client: TestClient, world: World) -> None:
    wide = [row for row in world.samples if row["width"] >= 22 and "square" in row["caption"]]
    page = found(client, "/sql", where="width >= 22 and caption like '%square'", limit=200)
    assert captions(page["cards"]) == [row["caption"] for row in wide]
    assert (page["matches"], page["is_complete"]) == (len(wide), True)
    ranked = found(client, "/sql", where="clip_similarity > -1", sort="clip_similarity", limit=5)
    values = [card["values"]["clip_similarity"] for card in ranked["cards"]]
    assert values == sorted(values, reverse=True)
    first = found(client, "/sql", where="true", limit=3)
    assert not first["is_complete"]
    assert found(client, "/sql", where="true", limit=3, count=True)["matches"] == 28
    second = found(client, "/sql", where="true", start=3, limit=3)
    assert not {c["uid"] for c in first["cards"]} & {c["uid"] for c in second["cards"]}


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("select 1", "no condition"),
        ("1) from samples; drop table samples --", "syntax error"),
        ("width", "no condition"),
        ("nothing > 3", "no column 'nothing'"),
        ("safety_nsfw > 0.5", "no safety scores"),
        ("width > (select 3)", "subquery"),
        ("caption = (select content from read_text('/etc/passwd'))", "subquery"),
    ],
)
def test_what_is_no_condition_is_refused_and_says_why(
    client: TestClient, where: str, why: str
) -> None:
    answer = client.get("/api/sql", params={"where": where})
    assert answer.status_code == 400
    assert why in answer.json()["error"]
    page = client.get("/sql", params={"where": where})
    assert page.status_code == 400
    assert 'role="alert"' in page.text


def test_a_threshold_says_what_it_keeps_and_shows_both_sides(
    client: TestClient, world: World
) -> None:
    histogram = found(client, "/histogram", column="width")
    widths = sorted(row["width"] for row in world.samples)
    assert histogram["known"] == len(widths)
    assert sum(histogram["bars"]) == len(widths)
    for edge, count in zip(histogram["edges"], histogram["at_or_above"], strict=True):
        assert count == sum(width >= edge for width in widths)
    side = found(client, "/around", column="width", threshold=30, count=3)
    assert side["at_or_above_threshold"] == sum(width >= 30 for width in widths)
    assert [c["values"]["width"] for c in side["above"]] == [w for w in widths if w >= 30][:3]
    assert [c["values"]["width"] for c in side["below"]] == [w for w in widths if w < 30][-3:][::-1]


def test_nan_scores_are_missing_not_low(client: TestClient) -> None:
    histogram = found(client, "/histogram", column="clip_similarity")
    assert histogram["missing"] >= 3
    assert histogram["known"] + histogram["missing"] == 28
    assert all(card["values"]["clip_similarity"] is not None for card in histogram["below"])


def test_a_sample_page_has_every_column(client: TestClient, world: World) -> None:
    row = world.samples[4]
    sample = found(client, f"/sample/{row['uid']}")
    assert sample["row"]["caption"] == row["caption"]
    assert sample["row"]["tar_offset"] == row["tar_offset"]
    assert set(sample["scores"]) == {"clip/demo", "dedup/exact"}
    assert sample["problems"] == []
    assert found(client, f"/sample/{row['uid']}", at=2)["row"]["uid"] == row["uid"]


def test_filters_are_compared_over_the_samples_that_are_there(client: TestClient) -> None:
    groups = found(client, "/diff", a="first", b="second")
    counts = {name: group["count"] for name, group in groups["groups"].items()}
    assert counts == {"both": 6, "only_a": 10, "only_b": 4, "neither": 8}
    assert groups["absent"] == {"a": 0, "b": 1}
    assert len(groups["groups"]["both"]["cards"]) == 6


def test_clusters_come_largest_first(client: TestClient, world: World) -> None:
    clusters = found(client, "/clusters", limit=50)
    sizes = [cluster["size"] for cluster in clusters["clusters"]]
    colours = [row["colour"] for row in world.samples]
    assert sizes == sorted((colours.count(name) for name in set(colours)), reverse=True)
    for cluster in clusters["clusters"]:
        uids = {card["uid"] for card in cluster["cards"]}
        assert len({row["colour"] for row in world.samples if row["uid"] in uids}) == 1


def test_labels_are_ranked_with_shares(client: TestClient, world: World) -> None:
    uid = next(row["uid"] for row in world.samples if row["colour"] == "cyan square")
    labels = "red square\ncyan square\nblue square"
    ranking = found(client, "/zeroshot", uid=uid, labels=labels, scale=5)["ranking"]
    assert ranking[0]["label"] == "cyan square"
    cosines = np.array([ranked["cosine"] for ranked in ranking])
    expected = np.exp(5 * cosines) / np.exp(5 * cosines).sum()
    np.testing.assert_allclose([ranked["share"] for ranked in ranking], expected, rtol=1e-5)
    refused = client.get("/api/zeroshot", params={"uid": uid, "labels": "a", "template": "none"})
    assert "has no {}" in refused.json()["error"]


def test_the_matrix_is_of_the_batch_and_bounded(client: TestClient, world: World) -> None:
    batch = found(client, "/matrix", shard="00000001", first=2, count=6)
    stored = [row["caption"] for row in world.rows["00000001"]]
    assert captions(batch["cards"]) == stored[2:8]
    cosines = np.array(batch["cosines"])
    assert cosines.shape == (6, 6)
    assert (cosines.argmax(axis=1) == range(6)).all()
    assert client.get("/api/matrix", params={"count": 33}).status_code == 400


def test_pictures_are_the_stored_bytes(client: TestClient, world: World) -> None:
    row = world.samples[7]
    answer = client.get(f"/picture/{row['uid']}")
    assert (answer.content, answer.headers["content-type"]) == (row["image"], "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/picture/..%2Fmanifest.json",
        "/picture/0123",
        f"/picture/{'0' * 32}",
        "/api/shard/..%2F..%2Fetc",
        "/api/matrix?shard=../../etc/passwd",
        "/api/diff?a=../../first&b=second",
        f"/api/sample/{'f' * 32}",
        "/static/..%2Fpages.py",
        "/static/pages.py",
        "/elsewhere",
    ],
)
def test_what_is_not_of_the_dataset_is_not_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/shards?start=-1",
        "/api/shard/00000000?limit=100000",
        "/api/histogram?column=caption",
        "/api/histogram?column=../x",
        "/api/around?column=width&threshold=many",
        "/api/sql?where=width>1&sort=caption",
        f"/api/sql?where={'x' * 3000}",
    ],
)
def test_fields_out_of_bounds_are_refused(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]
