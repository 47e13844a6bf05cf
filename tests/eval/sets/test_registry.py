import re
from pathlib import Path

import pytest
from clip_benchmark.datasets import builder

from diagonal_eval.sets.registry import COLLECTIONS, TASKS, expand, task_info
from diagonal_eval.sets.wording import packaged
from diagonal_infra.errors import UserError

PAPER = set(
    """food101 cifar10 cifar100 birdsnap sun397 cars fgvc_aircraft voc2007_multilabel dtd pets
    caltech101 flowers mnist fer2013 stl10 eurosat resisc45 gtsrb kitti_closest_vehicle_distance
    country211 pcam ucf101 kinetics700 clevr_count_all hateful_memes renderedsst2
    imagenet1k""".split()  # noqa: SIM905  # 27 quoted words are harder to read
)


def test_the_clip_paper_has_its_27_sets() -> None:
    assert set(COLLECTIONS["clip-paper"]) == PAPER
    assert len(COLLECTIONS["clip-paper"]) == 27


def test_the_collections_of_clip_benchmark_are_all_known() -> None:
    for collection in builder.dataset_collection.values():
        assert all(task_info(name) for name in collection)
    of_ours = {name.removeprefix("vtab/") for name in builder.dataset_collection["vtab+"]}
    assert set(COLLECTIONS["vtab+"]) == of_ours


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("mean_per_class_recall", {"caltech101", "fgvc_aircraft", "flowers", "pets"}),
        ("map11", {"voc2007_multilabel"}),
        ("roc_auc", {"hateful_memes"}),
        ("macro_f1", {"iwildcam"}),
        ("worst_group_acc1", {"fmow", "geode", "dollar_street"}),
    ],
)
def test_sets_whose_metric_is_not_accuracy(metric: str, names: set[str]) -> None:
    assert {task.name for task in TASKS.values() if task.metric == metric} == names


def test_class_names_and_templates_are_there_and_as_many_as_classes() -> None:
    names = packaged("en_classnames.json")
    templates = packaged("en_zeroshot_classification_templates.json")
    for task in TASKS.values():
        if task.class_names_key is not None:
            subset = task.class_names_key == "imagenet1k"
            assert subset or len(names[task.class_names_key]) == task.classes, task.name
        assert task.templates_key is None or task.templates_key in templates, task.name


def test_the_worst_group_is_of_a_group_that_has_a_column() -> None:
    for task in TASKS.values():
        columns = {attribute.name for attribute in task.columns}
        assert set(task.groups) <= columns, task.name
        assert task.metric != "worst_group_acc1" or task.groups, task.name
        assert task.label_column is None or task.label_column in columns


def test_every_set_says_whose_it_is_and_how_to_get_it() -> None:
    for task in TASKS.values():
        assert task.obtain, task.name
        assert re.search(r"\b(19|20)\d\d\b", task.source), task.name
        assert task.test_size > 0


def test_expanding_keeps_order_and_names_each_once() -> None:
    names = expand(["digits", "shifts", "vtab/cifar10", "cifar10", "kitti", "wds:/data/x"])
    assert names == [
        *("digits", *COLLECTIONS["shifts"], "cifar10", "kitti_closest_vehicle_distance"),
        "wds:/data/x",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifar1", "cifar10"),
        ("imagenet_a", "imagenet-a"),
        ("wds:", "wds:DIR"),
        ("qqq", "clip-paper"),
    ],
)
def test_an_unknown_name_offers_the_near_ones(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        expand([name])


def test_no_entry_names_a_registry_host() -> None:
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    assert "huggingface.co" not in text
