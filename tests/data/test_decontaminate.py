import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.dedup.small_dataset import (
    column,
    encoded,
    picture,
    row_for,
    write_dataset,
    write_embeddings,
)

from diagonal_data.decontaminate import make_index, mark
from diagonal_data.dedup.config import IndexConfig, MarkConfig
from diagonal_infra.errors import UserError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures 1 and 2, and one that is no picture."""
    folder = tmp_path / "eval"
    folder.mkdir()
    (folder / "one.png").write_bytes(encoded(picture(1, 200)))
    (folder / "two.jpg").write_bytes(encoded(picture(2, 150), ".jpg"))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_bytes(b"text")
    return folder


def index_of(images: Path, name: str = "flowers", **flags: str) -> str:
    path = str(images.parent / f"{name}.index")
    make_index(IndexConfig(images=str(images), output=path, set=name, **flags))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Row 0 is far; 1 is picture 1 smaller, 2 is picture 2 mirrored, 3 is flat, 4 failed."""
    mirrored = np.ascontiguousarray(picture(2)[:, ::-1])
    flat = np.full((40, 40, 3), 90, np.uint8)
    rows = [row_for(0, picture(9)), row_for(1, picture(1)), row_for(2, mirrored)]
    return write_dataset(tmp_path / "d", [rows, [row_for(3, flat), row_for(4, None)]])


def marks(dataset: str, what: str) -> list:
    return column(dataset, "eval_near", "eval", what)


def test_resized_and_mirrored_evaluation_pictures_are_marked(dataset: str, images: Path) -> None:
    mark(MarkConfig(dataset=dataset, index=(index_of(images),)))
    assert marks(dataset, "is_near") == [False, True, True, False]
    assert marks(dataset, "set") == [None, "flowers", "flowers", None]
    distances = marks(dataset, "distance")
    assert [value is None for value in distances] == [True, False, False, True]
    assert max(distances[1:3]) <= 6
    assert marks(dataset, "similarity") == [None] * 4


def test_pictures_in_tars_give_the_same_index(images: Path) -> None:
    path = images.parent / "eval.tar"
    with tarfile.open(path, "w") as tar:
        for file in sorted(images.iterdir()):
            tar.add(file, f"folder/{file.name}")
    of_tar = pq.read_table(index_of(path, "a"))
    of_folder = pq.read_table(index_of(images, "b"))
    assert of_tar.drop_columns(["set"]).equals(of_folder.drop_columns(["set"]))


def test_an_index_holds_no_name_and_no_pixel(images: Path) -> None:
    content = Path(index_of(images)).read_bytes()
    assert b"one" not in content
    assert len(content) < 5_000


@pytest.mark.parametrize("shape", ["padded", "centre"])
def test_a_picture_is_found_however_the_pipeline_has_framed_it(
    tmp_path: Path, images: Path, shape: str
) -> None:
    wide = cv2.resize(picture(3, 128), (256, 128))
    (images / "wide.png").write_bytes(encoded(wide))
    framed = {
        "padded": cv2.copyMakeBorder(wide, 64, 64, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3),
        "centre": np.ascontiguousarray(wide[:, 64:-64]),
    }
    dataset = write_dataset(tmp_path / "d", [[row_for(0, framed[shape])]])
    mark(MarkConfig(dataset=dataset, index=(index_of(images),)))
    assert marks(dataset, "is_near") == [True]


def test_the_nearest_of_several_sets_is_named(dataset: str, images: Path, tmp_path: Path) -> None:
    exact = tmp_path / "exact"
    exact.mkdir()
    (exact / "x.png").write_bytes(encoded(picture(1)))
    blurred = cv2.GaussianBlur(picture(1), (0, 0), 3)
    (images / "one.png").write_bytes(encoded(blurred))
    indexes = (index_of(images), index_of(exact, "exact"))
    mark(MarkConfig(dataset=dataset, index=indexes))
    assert (marks(dataset, "set")[1], marks(dataset, "distance")[1]) == ("exact", 0)


def embeddings_at(path: Path, model: str | None) -> str:
    arrays = {"image": np.eye(4)[:2], "key": np.array(["one", "two"])}
    if model is not None:
        arrays["model"] = np.array(model)
    np.savez(path, allow_pickle=False, **arrays)
    return str(path)


def test_near_embeddings_of_the_same_model_are_marked(
    dataset: str, images: Path, tmp_path: Path
) -> None:
    index = index_of(images, embeddings=embeddings_at(tmp_path / "e.npz", "m"))
    uids = [f"{number:032x}" for number in range(4)]
    # Row 0 is near picture two by its embedding only; row 3 has none.
    first = np.array([[0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_embeddings(dataset, "m", "00000000", first, uids[:3])
    write_embeddings(dataset, "m", "00000001", np.zeros((1, 4)), uids[3:])
    mark(MarkConfig(dataset=dataset, index=(index,), embeddings="m"))
    assert marks(dataset, "is_near") == [True, True, True, False]
    assert marks(dataset, "set")[0] == "flowers"
    assert marks(dataset, "distance")[0] is None
    assert marks(dataset, "similarity") == [pytest.approx(0.995, abs=1e-3), 0, 0, None]


def test_embeddings_of_another_model_are_refused(
    dataset: str, images: Path, tmp_path: Path
) -> None:
    for shard in ("00000000", "00000001"):
        count = 3 if shard == "00000000" else 1
        uids = [f"{number:032x}" for number in range(4)]
        own = uids[:3] if count == 3 else uids[3:]
        write_embeddings(dataset, "m", shard, np.ones((count, 4)), own)
    with_other = index_of(images, "a", embeddings=embeddings_at(tmp_path / "e.npz", "other"))
    with pytest.raises(UserError, match=r"of model 'm', the indexes hold some of other;"):
        mark(MarkConfig(dataset=dataset, index=(with_other,), embeddings="m"))
    with pytest.raises(UserError, match="hold some of no model at all"):
        mark(MarkConfig(dataset=dataset, index=(index_of(images),), embeddings="m"))


def test_embeddings_that_do_not_fit_the_pictures_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not say its model"):
        index_of(images, embeddings=embeddings_at(tmp_path / "e.npz", None))
    (images / "one.png").unlink()
    (images / "two.jpg").rename(images / "three.jpg")
    with pytest.raises(UserError, match="is the name of a picture"):
        index_of(images, embeddings=embeddings_at(tmp_path / "e.npz", "m"))


def test_a_second_run_marks_only_what_is_missing(dataset: str, images: Path) -> None:
    config = MarkConfig(dataset=dataset, index=(index_of(images),))
    mark(config)
    first, second = sorted((Path(dataset) / "scores/eval_near/eval").iterdir())
    kept, before = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    assert "shards done before: 1" in mark(config)
    assert (first.stat().st_mtime_ns, second.read_bytes()) == (kept, before)
    (images / "three.png").write_bytes(encoded(picture(9)))
    mark(MarkConfig(dataset=dataset, index=(index_of(images),)))
    assert marks(dataset, "is_near")[0]


def test_what_was_taken_down_is_not_marked(dataset: str, images: Path) -> None:
    pq.write_table(pa.table({"uid": [f"{1:032x}"]}), f"{dataset}/tombstones.parquet")
    mark(MarkConfig(dataset=dataset, index=(index_of(images),)))
    assert marks(dataset, "is_near") == [False, False, True, False]


@pytest.mark.parametrize("what", ["text", "parquet", "version", "nothing"])
def test_a_file_that_is_no_index_is_the_users_mistake(
    dataset: str, images: Path, what: str
) -> None:
    path = Path(index_of(images))
    table = pq.read_table(path)
    other = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"diagonal_eval_index": "2"}), other)
    plain = io.BytesIO()
    pq.write_table(pa.table({"uid": ["a"]}), plain)
    contents = {
        "text": json.dumps([1]).encode(),
        "parquet": plain.getvalue(),
        "version": other.getvalue(),
    }
    message = {
        "text": "is no index of evaluation hashes",
        "parquet": "is no index of evaluation hashes",
        "version": "has version 2 .* this program reads version 1",
        "nothing": "no index at .*; make it with",
    }[what]
    path.unlink()
    if what in contents:
        path.write_bytes(contents[what])
    with pytest.raises(UserError, match=message):
        mark(MarkConfig(dataset=dataset, index=(str(path),)))


def test_a_folder_without_a_picture_makes_no_index(images: Path) -> None:
    for name in ("one.png", "two.jpg"):
        (images / name).unlink()
    with pytest.raises(UserError, match="no picture could be read"):
        index_of(images)
    assert not list(images.parent.glob("*.index"))


def test_a_dataset_without_shards_is_the_users_mistake(tmp_path: Path, images: Path) -> None:
    with pytest.raises(UserError, match="no shards found"):
        mark(MarkConfig(dataset=write_dataset(tmp_path / "d", []), index=(index_of(images),)))
