"""The 27 sets of the CLIP paper (Radford et al., 2021, tables 9 to 11), as clip_benchmark has them.

Sizes are those of clip_benchmark's and DataComp's test splits where they exist, else the paper's.
"""

from dataclasses import replace

from diagonal_eval.sets.task_info import TaskInfo

CLIP_PAPER = "clip-paper"
VTAB_PLUS = "vtab+"
BOTH = (CLIP_PAPER, VTAB_PLUS)
EXPORT = "export it with clip_benchmark_export_wds"
WDS = f"{EXPORT}, or fetch it with DataComp's download_evalsets.py"
TORCHVISION = f"have torchvision download it into ROOT/NAME ({{}}), or {EXPORT}"


def _torchvision(loader: str) -> str:
    return TORCHVISION.format(loader)


def _task(name: str, classes: int, test: int, train: int | None, **facts: object) -> TaskInfo:
    """The defaults of this file: both collections, own templates, accuracy."""
    given: dict = {"collections": BOTH, "templates_key": name} | facts
    return TaskInfo(name=name, classes=classes, test_size=test, train_size=train, **given)


def _own(name: str, classes: int, test: int, train: int | None, **facts: object) -> TaskInfo:
    """Of the paper only: clip_benchmark has neither builder nor words for it."""
    given: dict = {"collections": (CLIP_PAPER,), "templates_key": None} | facts
    return _task(name, classes, test, train, **given)


NATURAL = (
    _task(
        *("food101", 101, 25250, 75750), collections=(CLIP_PAPER,), built_by="food101",
        source="Bossard et al., 2014", obtain=_torchvision("Food101"),
    ),
    _task(
        *("cifar10", 10, 10000, 50000), built_by="cifar10",
        source="Krizhevsky, 2009", obtain=_torchvision("CIFAR10"),
    ),
    _task(
        *("cifar100", 100, 10000, 50000), built_by="cifar100",
        source="Krizhevsky, 2009", obtain=_torchvision("CIFAR100"),
    ),
    _own(
        *("birdsnap", 500, 1849, 42283), source="Berg et al., 2014",
        obtain="fetch its list of addresses (thomasberg.org) and lay it out as an image folder",
        note="the pictures are links of 2014, of which many are gone",
    ),
    _task(
        *("sun397", 397, 108754, None), built_by="sun397", source="Xiao et al., 2010",
        obtain=_torchvision("SUN397"),
        note="clip_benchmark and DataComp use all pictures; the paper a half, 19,850",
    ),
    _task(
        *("cars", 196, 8041, 8144), built_by="cars", source="Krause et al., 2013",
        obtain=f"{WDS}; the makers' page is gone",
    ),
    _task(
        *("fgvc_aircraft", 100, 3333, 6667), built_by="fgvc_aircraft",
        metric="mean_per_class_recall", source="Maji et al., 2013",
        obtain=_torchvision("FGVCAircraft"),
    ),
    _task(
        *("voc2007", 20, 14976, 15662), built_by="voc2007", source="Everingham et al., 2007",
        obtain=_torchvision("VOCDetection 2007"),
        note="objects cut out by their boxes; the paper's 11-point mAP is voc2007_multilabel",
    ),
    _task(
        *("voc2007_multilabel", 20, 4952, 5011), kind="multilabel", metric="map11",
        built_by="voc2007_multilabel", source="Everingham et al., 2007",
        obtain=_torchvision("VOCDetection 2007"),
    ),
    _task(
        *("dtd", 47, 1880, 1880), built_by="dtd", source="Cimpoi et al., 2014",
        obtain=_torchvision("DTD"),
    ),
    _task(
        *("pets", 37, 3669, 3680), built_by="pets", class_names_key="pets",
        metric="mean_per_class_recall", source="Parkhi et al., 2012",
        obtain=_torchvision("OxfordIIITPet"),
    ),
    _task(
        *("caltech101", 102, 6085, 2753), built_by="caltech101",
        metric="mean_per_class_recall", class_names_key="caltech101_vtab",
        source="Fei-Fei et al., 2004", obtain=WDS,
        note="VTAB's split; torchvision's files have none and are taken whole",
    ),
    _task(
        *("flowers", 102, 6149, 1020), built_by="flowers", class_names_key="flowers",
        metric="mean_per_class_recall", source="Nilsback and Zisserman, 2008",
        obtain=_torchvision("Flowers102"),
    ),
    _task(
        *("stl10", 10, 8000, 5000), built_by="stl10", source="Coates et al., 2011",
        obtain=_torchvision("STL10"),
    ),
    _task(
        *("imagenet1k", 1000, 50000, 1281167), built_by="imagenet1k",
        class_names_key="imagenet1k", source="Russakovsky et al., 2015",
        obtain="register at image-net.org and lay the validation pictures out as "
        "ROOT/imagenet1k/val/n01440764/*.JPEG",
    ),
)  # fmt: skip

SPECIALISED = (
    _task(
        *("mnist", 10, 10000, 60000), built_by="mnist", class_names_key="mnist",
        source="LeCun et al., 1998", obtain=_torchvision("MNIST"),
    ),
    _task(
        *("fer2013", 7, 7178, 28709), class_names_key="fer2013", in_folder_order=True,
        source="Goodfellow et al., 2013",
        obtain="download msambare/fer2013 from kaggle.com into ROOT/fer2013/{train,test}/CLASS",
    ),
    _task(
        *("eurosat", 10, 5400, 16200), built_by="eurosat", class_names_key="eurosat",
        in_folder_order=True, source="Helber et al., 2019", obtain=WDS,
        note="VTAB's split; torchvision's files have none and are taken whole, 27,000",
    ),
    _task(
        *("resisc45", 45, 6300, 18900), source="Cheng et al., 2017", obtain=WDS,
        note="VTAB's split; the paper tests on 25,200",
    ),
    _task(
        *("gtsrb", 43, 12630, 26640), built_by="gtsrb", class_names_key="gtsrb",
        source="Stallkamp et al., 2011", obtain=_torchvision("GTSRB"),
    ),
    _task(
        *("kitti_closest_vehicle_distance", 4, 711, 6347), aliases=("kitti",),
        class_names_key="kitti_closest_vehicle_distance", source="Geiger et al., 2012; VTAB's task",
        obtain=WDS,
    ),
    _task(
        *("country211", 211, 21100, 31650), built_by="country211", class_names_key="country211",
        in_folder_order=True, source="Radford et al., 2021", obtain=_torchvision("Country211"),
    ),
    _task(
        *("pcam", 2, 32768, 262144), built_by="pcam", class_names_key="pcam",
        source="Veeling et al., 2018", obtain=_torchvision("PCAM"),
    ),
    _task(
        *("clevr_count_all", 8, 15000, 63000), aliases=("clevr_counts",),
        class_names_key="clevr_count_all", source="Johnson et al., 2017; VTAB's task", obtain=WDS,
        note="VTAB's split; the paper tests on 500 pictures",
    ),
    _task(
        *("renderedsst2", 2, 1821, 6920), built_by="renderedsst2",
        source="Socher et al., 2013; Radford et al., 2021", obtain=_torchvision("RenderedSST2"),
    ),
)  # fmt: skip

VIDEO_AND_MEMES = (
    _own(
        *("ucf101", 101, 1794, 9537), source="Soomro et al., 2012",
        obtain="cut the middle frame of each video of the first split (crcv.ucf.edu) into an "
        "image folder",
    ),
    _own(
        *("kinetics700", 700, 31669, 494801), source="Carreira et al., 2019",
        obtain="cut the middle frame of each video that is still there into an image folder",
        note="the paper reports the mean of acc1 and acc5",
    ),
    _own(
        *("hateful_memes", 2, 500, 8500), metric="roc_auc", source="Kiela et al., 2020",
        obtain="accept the licence at hatefulmemeschallenge.com and lay the dev split out as an "
        "image folder of two classes, of which the second is the hateful one",
    ),
)  # fmt: skip

TASKS = tuple(
    replace(task, collections=(VTAB_PLUS,)) if task.name == "voc2007" else task
    for task in (*NATURAL, *SPECIALISED, *VIDEO_AND_MEMES)
)
"""voc2007 proper is VTAB+'s alone: the paper's metric needs all labels of a picture."""
