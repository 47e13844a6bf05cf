"""clip_benchmark's builder over the layouts that torchvision and the makers give their sets."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.eval.sets.tiny_sets import config_for, picture

from diagonal_eval.sets.built import find_built
from diagonal_eval.sets.config import AbsentSetError
from diagonal_eval.sets.found import FoundSet
from diagonal_eval.sets.registry import TASKS

VOC_XML = "<annotation>{}</annotation>"
VOC_OBJECT = (
    "<object><name>{}</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>4</ymax>"
    "</bndbox></object>"
)


def write(path: Path, content: str | int) -> None:
    """A text, or the picture of that number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(content, "jpeg") if isinstance(content, int) else content.encode())


def food101(root: Path) -> None:
    names = {"apple_pie": ["apple_pie/1"], "waffles": ["waffles/2"]}
    write(root / "food-101/meta/test.json", json.dumps(names))
    write(root / "food-101/images/apple_pie/1.jpg", 0)
    write(root / "food-101/images/waffles/2.jpg", 1)


def dtd(root: Path) -> None:
    write(root / "dtd/dtd/labels/test1.txt", "banded/b_1.jpg\nwoven/w_2.jpg\n")
    write(root / "dtd/dtd/images/banded/b_1.jpg", 0)
    write(root / "dtd/dtd/images/woven/w_2.jpg", 1)


def pets(root: Path) -> None:
    lists = "american_bulldog_7 2 2 1\nAbyssinian_2 1 1 1\n"
    write(root / "oxford-iiit-pet/annotations/test.txt", lists)
    write(root / "oxford-iiit-pet/images/american_bulldog_7.jpg", 0)
    write(root / "oxford-iiit-pet/images/Abyssinian_2.jpg", 1)


def sun397(root: Path) -> None:
    write(root / "SUN397/ClassName.txt", "/a/abbey\n/a/apse/indoor\n")
    write(root / "SUN397/a/abbey/sun_a.jpg", 0)
    write(root / "SUN397/a/apse/indoor/sun_b.jpg", 1)


def fgvc_aircraft(root: Path) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    write(data / "variants.txt", "707-320\nA380\n")
    write(data / "images_variant_test.txt", "0001 707-320\n0002 A380\n")
    write(data / "images/0001.jpg", 0)
    write(data / "images/0002.jpg", 1)


def voc2007_multilabel(root: Path) -> None:
    voc = root / "VOCdevkit" / "VOC2007"
    write(voc / "ImageSets/Main/aeroplane_test.txt", "000001 -1\n000002  1\n")
    for number, objects in enumerate((("dog", "cat", "dog"), ("aeroplane",))):
        xml = VOC_XML.format("".join(VOC_OBJECT.format(name) for name in objects))
        write(voc / f"Annotations/{number + 1:06d}.xml", xml)
        write(voc / f"JPEGImages/{number + 1:06d}.jpg", number)


def caltech101(root: Path) -> None:
    folder = root / "caltech101"
    (folder / "Annotations").mkdir(parents=True)
    write(folder / "101_ObjectCategories/accordion/image_0001.jpg", 0)
    write(folder / "101_ObjectCategories/zebra/image_0001.jpg", 1)


def objectnet(root: Path) -> None:
    write(root / "folder_to_objectnet_label.json", json.dumps({"air": "Air horn", "sofa": "Sofa"}))
    shared = {"Sofa": "studio couch", "Air horn": "horn"}
    write(root / "objectnet_to_imagenet_1k.json", json.dumps(shared))
    write(root / "pytorch_to_imagenet_2012_id.json", json.dumps({"0": 1, "1": 0}))
    write(root / "imagenet_to_label_2012_v2", "horn\nstudio couch\n")
    images = root / "objectnet-1.0" / "images"
    write(images / "aaa_not_in_imagenet/0.jpg", 9)
    write(images / "air/1.jpg", 0)
    write(images / "sofa/2.jpg", 1)


LAYOUTS = (food101, dtd, sun397, fgvc_aircraft, caltech101, objectnet)


def built(write_layout: Callable[[Path], None], tmp_path: Path) -> FoundSet:
    name = write_layout.__name__
    root = tmp_path / "sets" / name
    write_layout(root)
    return find_built(str(root), "test", TASKS[name], config_for(tmp_path))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_files_and_labels_are_those_of_the_layout(
    tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    found = built(layout, tmp_path)
    assert list(found.read(range(len(found.keys)))) == [picture(0, "jpeg"), picture(1, "jpeg")]
    assert found.labels == (0, 1)
    assert len(found.class_names) >= 2


def test_labels_of_pets_are_the_makers_numbers(tmp_path: Path) -> None:
    found = built(pets, tmp_path)
    names = {
        key.rpartition("/")[2]: label for key, label in zip(found.keys, found.labels, strict=True)
    }
    assert names == {"american_bulldog_7.jpg": 1, "Abyssinian_2.jpg": 0}
    assert found.class_names == ("Abyssinian", "American Bulldog")


@pytest.mark.parametrize(
    "layout", [sun397, caltech101, food101], ids=lambda layout: layout.__name__
)
def test_test_pictures_are_never_given_for_training(
    tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    name = layout.__name__
    layout(tmp_path / name)
    with pytest.raises(AbsentSetError):
        find_built(str(tmp_path / name), "train", TASKS[name], config_for(tmp_path))


def test_all_objects_of_a_picture_are_its_labels(tmp_path: Path) -> None:
    found = built(voc2007_multilabel, tmp_path)
    shown = [
        {name for name, true in zip(found.class_names, row, strict=True) if true}
        for row in found.multilabels
    ]
    assert shown == [{"dog", "cat"}, {"aeroplane"}]
    assert list(found.read([1])) == [picture(1, "jpeg")]


def test_class_names_of_objectnet_are_lower_case_and_only_the_shared_ones(tmp_path: Path) -> None:
    found = built(objectnet, tmp_path)
    assert found.class_names == ("air horn", "sofa")
    assert all("aaa" not in key for key in found.keys)
