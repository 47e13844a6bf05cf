"""A Slurm job as text: infra/slurm's templates, filled in from launch's flags and a profile. Pure.

ranks.sbatch   a process for each rank: train, eval, and in one process what knows no other
ray.sbatch     a Ray cluster of the job's nodes: shards, reshard, scores

A template's `@{name}` is a value; every value of a user's is quoted for the shell.
"""

import hashlib
import os
import re
import shlex
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile
from diagonal_infra.ray_environment import ENVIRONMENT
from diagonal_infra.stages import MODULES, ON_GPUS, RANKED, RAY_FLAGS, results_of

TEMPLATES = Path(__file__).parents[1] / "slurm"
WAIT_SECONDS = 600
"""How long the last rank may take when the first is gone: the time of a save, and no more."""


class _Template(string.Template):
    delimiter = "@"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many processes on which nodes."""

    nodes: int
    per_node: int
    """Ranks of a node, or Ray's workers of one."""
    cpus: int
    """Of each task of srun."""
    gpus: int
    """Of each node; 0: none are asked for."""
    on_ray: bool

    @property
    def processes(self) -> int:
        """Ranks or workers in all."""
        return self.nodes * self.per_node


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is handed to Slurm."""

    name: str
    """The same for the same stage and results, so that a second one is noticed."""
    script: str
    folder: str
    """Of script and logs."""
    results: str

    @property
    def script_path(self) -> str:
        """Where the script is kept."""
        return str(Path(self.folder) / f"{self.name}.sbatch")

    def log_path(self, job_id: str) -> str:
        """What the job writes to; `%j` is Slurm's name for the id."""
        return str(Path(self.folder) / f"{self.name}-{job_id}.log")


def plan_shape(target: str, profile: Profile, nodes: int, processes: int | None) -> Shape:
    """Ranks or workers on so many nodes: as many as were asked for, else as there is room for.

    Raises:
        UserError: the nodes are not that many or large, or the profile says nothing of them.
    """
    on_ray = target in RAY_FLAGS and target not in RANKED
    kind = "gpu_nodes" if target in ON_GPUS else "cpu_nodes"
    node: Nodes | None = getattr(profile, kind)
    if node is None:
        raise UserError(f"{target} runs on the profile's [{kind}], which it does not describe")
    if node.most is not None and nodes > node.most:
        raise UserError(f"--nodes {nodes} are more than the profile's {kind}.most, {node.most}")
    if target not in RANKED and not on_ray:
        return _one_process(target, node, nodes, processes)
    name = "gpus" if node.gpus else "cpus"
    room = node.gpus or (node.cpus if on_ray else 1)
    total = nodes * room if processes is None else processes
    if total % nodes:
        raise UserError(f"--processes {total} cannot be shared equally by --nodes {nodes}")
    most = getattr(node, name)
    if total > nodes * most:
        raise UserError(
            f"--processes {total} need --nodes {-(-total // most)}: the profile's {kind} have "
            f"{name} = {most}, and --nodes is {nodes}"
        )
    per_node = total // nodes
    cpus = node.cpus if on_ray else max(1, node.cpus // per_node)
    return Shape(nodes=nodes, per_node=per_node, cpus=cpus, gpus=node.gpus, on_ray=on_ray)


def _one_process(target: str, node: Nodes, nodes: int, processes: int | None) -> Shape:
    if nodes > 1 or (processes or 1) > 1:
        raise UserError(f"{target} is one process; leave out --nodes and --processes")
    return Shape(nodes=1, per_node=1, cpus=node.cpus, gpus=0, on_ray=False)


def plan_job(
    target: str,
    stage: Sequence[str],
    profile: Profile,
    shape: Shape,
    *,
    resolved: Mapping[str, Any],
    max_restarts: int = 0,
) -> Job:
    """The job of one stage.

    Args:
        target: the stage.
        stage: its recipe and flags.
        profile: the cluster.
        shape: what `plan_shape` found.
        resolved: the stage's configuration.
        max_restarts: how often failed ranks are started anew without leaving the queue.
    """
    workdir = os.path.abspath(profile.workdir or ".")  # noqa: PTH100  # need not exist here
    folder = str(Path(workdir) / profile.slurm.logs)
    if re.search(r"\s", folder):
        raise UserError(f"the profile's slurm.logs is in {folder!r}; sbatch takes no blanks there")
    name = job_name(target, resolved, workdir)
    python = profile.python or sys.executable
    values = {
        "header": "\n".join(f"#SBATCH {each}" for each in header(target, profile, shape)),
        "workdir": shlex.quote(workdir),
        "setup": "\n".join([*profile.setup, *exports(profile, on_ray=shape.on_ray)]),
        "cpus": str(shape.cpus),
        "nodes": str(shape.nodes),
        "logs": shlex.quote(folder),
        "max_restarts": str(max_restarts),
        "max_requeues": str(profile.slurm.max_requeues),
        "wait_seconds": str(WAIT_SECONDS),
        "bin": shlex.quote(str(PurePath(python).parent)),
        "command": _command(target, stage, python, shape),
        "finished": _finished(target, stage, python),
    }
    template = "ray" if shape.on_ray else "ranks"
    script = _read_template(template).substitute(values)
    own = [f"--job-name={name}", f"--output={folder}/{name}-%j.log"]
    lines = "".join(f"#SBATCH {each}\n" for each in own)
    first, _, rest = script.partition("\n")
    results = _absolute(results_of(resolved), workdir)
    return Job(name=name, script=f"{first}\n{lines}{rest}", folder=folder, results=results)


def header(target: str, profile: Profile, shape: Shape) -> list[str]:
    """Options of sbatch, but for name and log."""
    slurm = profile.slurm
    partition = slurm.gpu_partition if target in ON_GPUS else slurm.cpu_partition
    options = [
        f"--nodes={shape.nodes}",
        f"--ntasks-per-node={1 if shape.on_ray else shape.per_node}",
        f"--cpus-per-task={shape.cpus}",
        f"--time={slurm.time_limit}",
        # To the ranks, or to the script where those do not know it.
        f"--signal={'B:' if shape.on_ray else ''}USR1@{slurm.notice_seconds}",
        "--requeue",
        "--open-mode=append",
        # Two of a name never run at once, also if both were submitted in the same instant.
        "--dependency=singleton",
    ]
    if shape.on_ray:
        # `ray stop`, with which symmetric-run ends, would end another job's Ray too.
        options.append("--exclusive")
    named = {"gres": shape.gpus and f"gpu:{shape.gpus}", "partition": partition}
    named["account"] = slurm.account
    options += [f"--{name}={value}" for name, value in named.items() if value]
    return [*options, *slurm.options]


def exports(profile: Profile, *, on_ray: bool) -> list[str]:
    """Shell commands that set the variables; the profile's win."""
    variables = (ENVIRONMENT if on_ray else {}) | profile.environment
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def job_name(target: str, resolved: Mapping[str, Any], workdir: str) -> str:
    """`train-b32-1f3a9c`: what a person recognises, and a digest of where the results go."""
    place = _absolute(results_of(resolved), workdir)
    # Several score sets of one dataset may be made at once.
    part = str(resolved.get("name", "")) if target == "scores" else ""
    digest = hashlib.sha256("\0".join((target, place, part)).encode()).hexdigest()[:6]
    leaf = re.sub(r"[^\w.-]", "_", PurePath(place).name)[:40]
    return "-".join((target, leaf, digest))


def _absolute(place: str, workdir: str) -> str:
    return place if "://" in place else os.path.normpath(Path(workdir) / place)


def _command(target: str, stage: Sequence[str], python: str, shape: Shape) -> str:
    words = [python, "-m", MODULES[target], *stage]
    if shape.on_ray:
        words[4:4] = [*RAY_FLAGS[target], "--workers", str(shape.processes)]
    return shlex.join(words)


def _finished(target: str, stage: Sequence[str], python: str) -> str:
    if target != "train":
        return '[ "$code" -eq 0 ]'
    return shlex.join([python, "-m", "diagonal_train.finished", *stage])


def _read_template(name: str) -> _Template:
    path = TEMPLATES / f"{name}.sbatch"
    if not path.exists():
        raise UserError(f"no template {path}; launch from a checkout of the repository")
    return _Template(path.read_text())
