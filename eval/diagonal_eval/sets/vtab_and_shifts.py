"""What VTAB+ (Schuhmann et al., 2022) has beyond the CLIP paper's sets, and ImageNet's shifts."""

from diagonal_eval.sets.clip_paper import VTAB_PLUS, WDS
from diagonal_eval.sets.task_info import TaskInfo

SHIFTS = "shifts"
SHIFTED_AND_PLUS = (SHIFTS, VTAB_PLUS)
AS_FOLDER = "unpack it so that the class folders lie in ROOT/{}"


def _shift(name: str, classes: int, test: int, **facts: object) -> TaskInfo:
    given: dict = {
        "collections": SHIFTED_AND_PLUS,
        "class_names_key": "imagenet1k",
        "obtain": AS_FOLDER.format(name),
    } | facts
    return TaskInfo(name=name, classes=classes, test_size=test, **given)


def _vtab(name: str, classes: int, test: int, train: int, **facts: object) -> TaskInfo:
    given: dict = {"collections": (VTAB_PLUS,), "templates_key": name, "obtain": WDS} | facts
    return TaskInfo(name=name, classes=classes, test_size=test, train_size=train, **given)


SHIFT_TASKS = (
    _shift(
        *("imagenetv2", 1000, 10000), source="Recht et al., 2019",
        obtain="unpack imagenetv2-matched-frequency.tar.gz so that the folders 0 to 999 lie in "
        "ROOT/imagenetv2",
    ),
    _shift("imagenet-r", 200, 30000, source="Hendrycks et al., 2021 (renditions)"),
    _shift("imagenet-a", 200, 7500, source="Hendrycks et al., 2021 (natural adversarial)"),
    _shift("imagenet_sketch", 1000, 50889, source="Wang et al., 2019"),
    _shift(
        *("objectnet", 113, 18574), class_names_key=None, built_by="objectnet",
        built_from=("objectnet-1.0/images", "folder_to_objectnet_label.json"),
        source="Barbu et al., 2019",
        obtain="unpack objectnet-1.0.zip (objectnet.dev) into ROOT/objectnet and copy its "
        "mappings/* there",
        note="the 113 classes that ImageNet has too",
    ),
    _shift(
        *("imagenet-o", 200, 2000), collections=(SHIFTS,),
        source="Hendrycks et al., 2021 (out of distribution)",
        note="classified as DataComp does; made for detection, where AUPR is reported",
    ),
)  # fmt: skip

VTAB_TASKS = (
    _vtab(
        *("clevr_closest_object_distance", 6, 15000, 63000),
        class_names_key="clevr_closest_object_distance",
        source="Johnson et al., 2017; VTAB's task",
    ),
    _vtab(
        *("diabetic_retinopathy", 5, 42670, 31613), class_names_key="diabetic_retinopathy",
        source="Kaggle and EyePacs, 2015",
    ),
    _vtab(
        *("dmlab", 6, 22735, 65550), class_names_key="dmlab", source="Zhai et al., 2019",
    ),
    _vtab(
        *("dsprites_label_orientation", 40, 73728, 589824), source="Matthey et al., 2017",
        note="all values, as clip_benchmark has it; VTAB bins them to 16",
    ),
    _vtab(
        *("dsprites_label_x_position", 32, 73728, 589824), source="Matthey et al., 2017",
        note="all values, as clip_benchmark has it; VTAB bins them to 16",
    ),
    _vtab(*("smallnorb_label_azimuth", 18, 12150, 24300), source="LeCun et al., 2004"),
    _vtab(*("smallnorb_label_elevation", 9, 12150, 24300), source="LeCun et al., 2004"),
    _vtab(*("svhn", 10, 26032, 73257), class_names_key="svhn", source="Netzer et al., 2011"),
)  # fmt: skip

TASKS = (*SHIFT_TASKS, *VTAB_TASKS)
