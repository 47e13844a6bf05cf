"""From the name of a set to its pictures and truth.

wds:DIR        CLIP_benchmark's webdataset there
folder:DIR     the image folder there
shards:DIR     our dataset there, as retrieval
NAME           of the registry, looked for in this order:
               ROOT/NAME and the folders DataComp names after it, as a webdataset
               ROOT/NAME as an image folder
               ROOT/NAME by clip_benchmark's builder
"""

from diagonal_eval.evalset import EvalSet
from diagonal_eval.sets import registry
from diagonal_eval.sets.built import find_built
from diagonal_eval.sets.config import AbsentSetError, SetsConfig
from diagonal_eval.sets.folders import find_folder, split_folder
from diagonal_eval.sets.found import FoundSet, evalset_of
from diagonal_eval.sets.own_shards import find_own_shards
from diagonal_eval.sets.packaged import NAMES, find_packaged
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_eval.sets.wds import find_wds, is_wds
from diagonal_infra import storage
from diagonal_infra.errors import UserError

DATACOMP_FOLDERS = ("wds_{}_test", "wds_vtab-{}_test", "wds_wilds-{}_test", "wds_retrieval-{}_test")


def open_set(spec: str, config: SetsConfig, split: str = "test") -> EvalSet:
    """One split of a set.

    Raises:
        AbsentSetError: it is not there; the message says where it was looked for and how to get it.
        UserError: no such set, or it is partial or contradicts itself.
    """
    names = registry.expand([spec])
    if len(names) != 1:
        raise UserError(f"{spec!r} is a collection of {len(names)} sets; open them one by one")
    name = names[0]
    if registry.is_address(name):
        info, found = None, _at_address(name, split, config)
    else:
        info = registry.TASKS[name]
        found = _of_registry(info, split, config)
    return evalset_of(found, name=name, split=split, info=info, config=config)


def where(info: TaskInfo, config: SetsConfig, split: str = "test") -> str | None:
    """Where a set of the registry lies, for people; None: nowhere that was looked at.

    A folder for clip_benchmark's builder is only looked at from outside.
    """
    if info.name in NAMES:
        return "package"
    for folder in _folders(info, config):
        if is_wds(folder, split):
            return f"{folder} (webdataset)"
    folder = _folders(info, config)[0]
    local = storage.local_path(folder)
    if local is None:
        return None
    if info.kind == "classification" and split_folder(local, split) is not None:
        return f"{folder} (image folder)"
    built = storage.local_path(_built_folder(info, config))
    can_build = info.built_by is not None and built is not None and _holds_anything(built)
    return f"{built} (torchvision)" if can_build else None


def _holds_anything(folder: str) -> bool:
    return bool(storage.list_folders(folder) or storage.list_files(folder))


def _at_address(name: str, split: str, config: SetsConfig) -> FoundSet:
    mark, _, address = name.partition(":")
    if mark == "shards":
        return find_own_shards(address, split)
    if mark == "wds":
        return find_wds(address, split, None, config)
    local = storage.local_path(address)
    if local is None:
        raise AbsentSetError(
            f"{name!r}: image folders are read from the local disk; copy it, or export it with "
            "clip_benchmark_export_wds and name it wds:DIR"
        )
    return find_folder(local, split, None, config)


def _of_registry(info: TaskInfo, split: str, config: SetsConfig) -> FoundSet:
    if info.name in NAMES:
        return find_packaged(info.name, split, config)
    folders = _folders(info, config)
    for folder in folders:
        if is_wds(folder, split):
            return find_wds(folder, split, info, config)
    local = storage.local_path(folders[0])
    reasons = []
    if local is not None:
        if info.kind == "classification" and split_folder(local, split) is not None:
            return find_folder(local, split, info, config)
        if info.built_by is not None:
            try:
                return find_built(_built_folder(info, config), split, info, config)
            except AbsentSetError as error:
                reasons.append(str(error))
    raise AbsentSetError(_absent(info, split, folders, reasons, config))


def _folders(info: TaskInfo, config: SetsConfig) -> list[str]:
    plain = info.name.replace("/", "-")
    names = [info.name, *(pattern.format(plain) for pattern in DATACOMP_FOLDERS)]
    return [storage.join(config.root, name) for name in names]


def _built_folder(info: TaskInfo, config: SetsConfig) -> str:
    """SugarCrepe's parts share one folder."""
    return storage.join(config.root, info.name.partition("/")[0])


def _absent(
    info: TaskInfo, split: str, folders: list[str], reasons: list[str], config: SetsConfig
) -> str:
    as_folder = f" and {folders[0]}/{split}/CLASS/*.jpg" if info.kind == "classification" else ""
    looked = f"{folders[0]}/{split}/nshards.txt{as_folder}"
    tried = f" ({'; '.join(reasons)})" if reasons else ""
    obtain = info.obtain.replace("ROOT", config.root.rstrip("/")).replace("NAME", info.name)
    return f"{info.name} ({split}) is not at {looked}{tried}; to get it: {obtain}"
