"""Image folders: DIR/[SPLIT/]CLASS/*.jpg, as torchvision's ImageFolder reads them.

Which class a folder is of:

    n01440764 …     all names are WordNet ids of ImageNet: the class of that id; 200 of them are
                    the 200 classes of ImageNet-A, -R or -O
    0 1 2 …         numbers, and the class names are known: the label; 1 2 3 … likewise
    anything else   the class of that name, or the folder's place in sorted order if the class
                    names are the user's, or packaged ones known to be in that order

Without known class names the folders' own are taken, underscores as spaces.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.digests import file_digests
from diagonal_eval.sets.found import FoundSet
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_eval.sets.wording import PACKAGED_LANGUAGE, listed_class_names, packaged_class_names
from diagonal_infra.errors import UserError

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"})
SPLIT_FOLDERS = {"test": ("test", "val", "valid", "validation"), "train": ("train", "training")}
WORDNET_ID = re.compile(r"n\d{8}")
IMAGENET = "imagenet1k"


def find_folder(folder: str, split: str, info: TaskInfo | None, config: SetsConfig) -> FoundSet:
    """The pictures of a split by class folder, in sorted order.

    Raises:
        AbsentSetError: there is no such split.
        UserError: folders and class names do not belong together.
    """
    root = split_folder(folder, split)
    if root is None:
        raise AbsentSetError(
            f"no split {split!r} of an image folder at {folder!r}; its pictures lie in "
            f"{folder}/{split}/CLASS/*.jpg, or without splits in {folder}/CLASS/*.jpg"
        )
    names = _class_folders(root)
    class_names, labels = _classes(str(root), names, info, config)
    paths = [
        (path, label)
        for name, label in zip(names, labels, strict=True)
        for path in _pictures(root / name)
    ]
    files = [path for path, _ in paths]
    return FoundSet(
        place=str(root),
        kind="classification",
        keys=tuple(path.relative_to(root).as_posix() for path in files),
        picture_digests=file_digests(files, config.cache),
        read=lambda rows: read_files(files, rows),
        labels=tuple(label for _, label in paths),
        class_names=class_names,
    )


def split_folder(folder: str, split: str) -> Path | None:
    """Where a split's class folders lie; a folder without splits is one of test pictures."""
    root = Path(folder)
    for name in SPLIT_FOLDERS.get(split, (split,)):
        if (root / name).is_dir() and _class_folders(root / name):
            return root / name
    known = {name for names in SPLIT_FOLDERS.values() for name in names}
    if split != "test" or not root.is_dir():
        return None
    names = _class_folders(root)
    return root if names and not known & set(names) else None


def read_files(files: Sequence[Path], rows: Sequence[int]) -> Iterator[bytes]:
    """Whole files, in the order given; empty where one cannot be read."""
    for row in rows:
        try:
            yield files[row].read_bytes()
        except OSError:
            yield b""


def _class_folders(root: Path) -> list[str]:
    """Sorted names of the folders with a picture in them, or with nothing at all."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    held = [p.name for p in folders if any(_is_picture(q) for q in p.iterdir())]
    return [p.name for p in folders if p.name in set(held) or not any(p.iterdir())] if held else []


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_picture(path))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and path.is_file()


def _classes(
    place: str, names: Sequence[str], info: TaskInfo | None, config: SetsConfig
) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and the label of each folder."""
    if all(WORDNET_ID.fullmatch(name) for name in names) and config.class_names is None:
        return _imagenet_classes(place, names, info, config)
    listed = listed_class_names(info, config)
    known = listed or packaged_class_names(info, PACKAGED_LANGUAGE)
    if not known:
        return tuple(_words(name) for name in names), list(range(len(names)))
    if all(name.isdecimal() for name in names):
        return known, _numbered(place, names, len(known))
    label_of = {_squashed(name): label for label, name in enumerate(known)}
    if all(_squashed(name) in label_of for name in names) and len(label_of) == len(known):
        return known, [label_of[_squashed(name)] for name in names]
    in_order = bool(listed) or (info is not None and info.in_folder_order)
    if in_order and len(names) == len(known):
        return known, list(range(len(names)))
    odd = next((name for name in names if _squashed(name) not in label_of), names[0])
    raise UserError(
        f"{place!r} has {len(names)} class folders for {len(known)} class names, and no name is "
        f"that of {odd!r}; number the folders 0 to {len(known) - 1}, or name the set folder:DIR to "
        "take the folders' names"
    )


def _imagenet_classes(
    place: str, names: Sequence[str], info: TaskInfo | None, config: SetsConfig
) -> tuple[tuple[str, ...], list[int]]:
    """The names of the ids among ImageNet's; all thousand where the set is one of a thousand."""
    # Loads torchvision, and only folders of WordNet ids need it.
    from clip_benchmark.datasets.builder import all_imagenet_wordnet_ids  # noqa: PLC0415

    index_of = {wordnet_id: index for index, wordnet_id in enumerate(all_imagenet_wordnet_ids)}
    foreign = [name for name in names if name not in index_of]
    if foreign:
        raise UserError(
            f"{place!r}: {len(foreign)} folders are WordNet ids outside ImageNet's 1,000 "
            f"classes, first {foreign[0]!r}; give the names with --sets.class-names"
        )
    all_names = packaged_class_names(info or _imagenet(), config.language)
    if info is not None and info.classes == len(all_names):
        return all_names, [index_of[name] for name in names]
    return tuple(all_names[index_of[name]] for name in names), list(range(len(names)))


def _imagenet() -> TaskInfo:
    from diagonal_eval.sets.registry import TASKS  # noqa: PLC0415

    return TASKS[IMAGENET]


def _numbered(place: str, names: Sequence[str], num_classes: int) -> list[int]:
    numbers = [int(name) for name in names]
    first = 1 if min(numbers) == 1 and max(numbers) == num_classes else 0
    if max(numbers) - first >= num_classes or len(set(numbers)) < len(numbers):
        raise UserError(
            f"{place!r}: folders are numbered {min(numbers)} to {max(numbers)} for {num_classes} "
            "class names"
        )
    return [number - first for number in numbers]


def _words(name: str) -> str:
    # A Mac gives é as two characters, which no model has been trained on.
    return unicodedata.normalize("NFC", name).replace("_", " ").strip()


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name).casefold())
