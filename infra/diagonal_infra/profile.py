"""What a cluster is like: one TOML file, read into frozen dataclasses, every key checked.

    python = "/shared/diagonal/.venv/bin/python"
    setup = ["module load cuda"]
    [environment]                     variables of every process
    [gpu_nodes]                       of train, eval and scores: gpus, cpus, most
    [cpu_nodes]                       of the other stages
    [slurm]                           partitions, account, time limit
    [kubernetes] [skypilot]           images, and what fits the cluster or the cloud

A key that is unknown, missing or of the wrong type is refused by its full name, `slurm.account`.
"""

import difflib
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from diagonal_infra.errors import UserError, require

Section = TypeVar("Section")
TIME_LIMIT = re.compile(r"(\d+-)?\d+(:\d{2}){0,2}")
VARIABLE = re.compile(r"[A-Za-z_]\w*")
KINDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    tuple: "a list of texts",
}


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """One kind of machine."""

    cpus: int
    """Cores of a node that jobs may use."""
    gpus: int = 0
    """GPUs of a node; 0: training computes on its cores."""
    most: int | None = None
    """Nodes of this kind that the cluster has; None: not checked."""

    def __post_init__(self) -> None:
        require(self.cpus >= 1, f"cpus of a node must be at least 1, got {self.cpus}")
        require(self.gpus >= 0, f"gpus of a node must not be negative, got {self.gpus}")


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """How jobs are asked for."""

    gpu_partition: str | None = None
    """Of train, eval and scores; None: the cluster's default."""
    cpu_partition: str | None = None
    """Of the other stages."""
    account: str | None = None
    """Who pays."""
    time_limit: str = "24:00:00"
    """Of one start of a job, as Slurm writes it; training is requeued when it is over."""
    notice_seconds: int = 120
    """How long before the limit ranks are told to save."""
    max_requeues: int = 100
    """How often a job that was told to stop queues itself again."""
    array: bool = False
    """Shards by a job array, --nodes tasks of one node each, in place of one Ray cluster of all:
    tasks start as nodes become free."""
    logs: str = "out/slurm"
    """Folder of scripts and logs, which all nodes see."""
    options: tuple[str, ...] = ()
    """More options of sbatch, `--exclusive` for instance."""

    def __post_init__(self) -> None:
        limit = self.time_limit
        require(bool(TIME_LIMIT.fullmatch(limit)), f"time_limit is D-HH:MM:SS, got {limit!r}")
        require(self.notice_seconds >= 1, "notice_seconds must be at least 1")
        require(self.max_requeues >= 0, "max_requeues must not be negative")
        for option in self.options:
            fits = re.fullmatch(r"--[a-z][^\n]*", option)
            require(bool(fits), f"options are sbatch's long ones, '--exclusive', not {option!r}")


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """Where `--on kuberay` goes."""

    data_image: str
    """Image of workers that fetch, with its tag."""
    train_image: str
    """Image of training, with its tag."""
    pod_identity: bool = False
    """Pods reach the store by their service account; else the secret diagonal-storage is needed."""
    namespace: str = "default"
    """One training run and one build of shards at a time."""
    context: str | None = None
    """Of kubectl; None: the current one."""
    components: tuple[str, ...] = ()
    """Folders of infra/cluster/kuberay/components that fit the cluster: gke, eks, shared-folder."""


@dataclass(frozen=True, kw_only=True)
class SkySettings:
    """What `--on skypilot` asks clouds for."""

    data_image: str
    """Image of workers that fetch, with its tag."""
    train_image: str
    """Image of training, with its tag."""
    gpu: str = "H100"
    """Kind of the GPUs, as SkyPilot calls it."""
    infra: str | None = None
    """Cloud, region or zone, as `sky` takes it; None: the cheapest."""
    spot: bool = True
    """Machines that may be taken away."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A cluster."""

    workdir: str | None = None
    """This repository, where all nodes see it; None: the folder that launch is called in."""
    python: str | None = None
    """Python with Diagonal installed, on all nodes; None: the one that launch runs on."""
    setup: tuple[str, ...] = ()
    """Shell commands before all else, `module load cuda` for instance."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of every process."""
    gpu_nodes: Nodes | None = None
    """Where train, eval and scores run."""
    cpu_nodes: Nodes | None = None
    """Where the other stages run."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    """Of `--on slurm`."""
    kubernetes: KubernetesSettings | None = None
    """Of `--on kuberay`."""
    skypilot: SkySettings | None = None
    """Of `--on skypilot`."""

    def __post_init__(self) -> None:
        for name in self.environment:
            require(bool(VARIABLE.fullmatch(name)), f"environment has {name!r}, no variable's name")


def read_profile(path: str) -> Profile:
    """The profile that a TOML file describes.

    Raises:
        UserError: no such file, no TOML, or a key that is unknown, missing or wrong.
    """
    try:
        table = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(
            f"no cluster profile {path!r}; copy infra/profile.toml and name the copy with --profile"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    return _section(Profile, table, path)


def _section(kind: type[Section], table: Mapping[str, Any], path: str, at: str = "") -> Section:
    hints, known = get_type_hints(kind), {each.name: each for each in fields(kind)}  # pyright: ignore[reportArgumentType]  # a dataclass
    for name in table:
        if name not in known:
            raise UserError(f"{path}: unknown key {at}{name}; {_nearest(at + name)}")
    for name, each in known.items():
        needed = each.default is MISSING and each.default_factory is MISSING
        if needed and name not in table:
            raise UserError(f"{path}: {at}{name} is missing")
    values = {name: _value(hints[name], table[name], path, at + name) for name in table}
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{path}: {at}{error}") from error


def _value(hint: Any, value: Any, path: str, name: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = get_args(hint)[0]
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return _section(hint, value, path, f"{name}.")
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(str, each, path, name) for each in value)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {key: _value(str, each, path, f"{name}.{key}") for key, each in value.items()}
    if type(value) is not hint:
        wanted = KINDS.get(get_origin(hint) or hint, "a section")
        raise UserError(f"{path}: {name} must be {wanted}, got {value!r}")
    return value


def _nearest(name: str) -> str:
    """The known key that is most like it, else the keys of its section."""
    section, _, leaf = name.rpartition(".")
    parts = [each.rpartition(".") for each in _names(Profile)]
    here = {own: "".join((at, dot, own)) for at, dot, own in parts if at == section}
    near = [here[each] for each in difflib.get_close_matches(leaf, here, n=1)]
    near += ["".join(each) for each in parts if each[2] == leaf]
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(here.values())}"


def _names(kind: Any, at: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        inner = get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
        yield at + name
        if is_dataclass(inner):
            yield from _names(inner, f"{at}{name}.")
