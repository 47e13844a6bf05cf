"""What is kept in memory, and when it is dropped."""

import json

import pytest
from tests.eval.explore.worlds import World

from diagonal_eval.explore.explorer import Explorer, Recent
from diagonal_eval.explore.snapshot import NotThereError
from diagonal_infra.errors import UserError


def test_recent_results_are_made_once_and_old_ones_go() -> None:
    recent, made = Recent(2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        recent.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_a_changed_manifest_is_a_new_view(own_world: World) -> None:
    explorer = Explorer(own_world.dataset)
    before = explorer.view
    assert explorer.view is before
    path = own_world.root / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"] = manifest["shards"][:2]
    path.write_text(json.dumps(manifest))
    after = explorer.view
    assert (len(before.snapshot.names), len(after.snapshot.names)) == (3, 2)
    retried = own_world.rows["00000002"][0]["uid"]
    assert before.row(retried, None)["status"] == "success"
    assert after.row(retried, None)["status"] == "failed"


def test_a_wrong_place_does_not_mislead(world: World) -> None:
    view = Explorer(world.dataset).view
    uid = world.samples[3]["uid"]
    assert {view.row(uid, at)["uid"] for at in (None, 0, 3, 10**9)} == {uid}
    with pytest.raises(NotThereError):
        view.row("0" * 32, 3)


def test_no_dataset_is_a_user_error() -> None:
    with pytest.raises(UserError, match="no dataset at"):
        Explorer("nowhere")
