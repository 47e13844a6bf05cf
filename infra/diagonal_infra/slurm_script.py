"""A Slurm job as text: infra/slurm's templates, filled in from launch's flags and a profile. Pure.

ranks.sbatch   a process for each rank: train, eval, and in one process what knows no other
ray.sbatch     a Ray cluster of the job's nodes: shards, reshard, scores
array.sbatch   one of many tasks, each with a node and a part of the shards

A template's `@{name}` is a value; every value of a user's is quoted for the shell.
"""

import re
import shlex
import string
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Profile
from diagonal_infra.ray_environment import ENVIRONMENT
from diagonal_infra.stages import MODULES, ON_GPUS, RAY_FLAGS
from diagonal_infra.work import Work

TEMPLATES = Path(__file__).parents[1] / "slurm"
WAIT_SECONDS = 600
"""How long the last rank may take when the first is gone: the time of a save, and no more."""


class _Template(string.Template):
    delimiter = "@"


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
        """What the job writes to, or a task of an array, whose id is `123_4`."""
        return str(Path(self.folder) / f"{self.name}-{job_id}.log")


def plan_job(work: Work) -> Job:
    """The job of one stage.

    Raises:
        UserError: logs would go where sbatch cannot put them.
    """
    settings, shape, as_array = work.profile.slurm, work.shape, is_array(work)
    folder = str(Path(work.workdir) / settings.logs)
    if re.search(r"\s", folder):
        raise UserError(f"the profile's slurm.logs is in {folder!r}; sbatch takes no blanks there")
    python = work.profile.python or sys.executable
    # Slurm's names for the id, and for that of the array and of the task.
    log = f"{work.name}-{'%A_%a' if as_array else '%j'}.log"
    own = [f"--job-name={work.name}", f"--output={folder}/{log}"]
    values = {
        "header": "\n".join(f"#SBATCH {each}" for each in (*own, *header(work))),
        "workdir": shlex.quote(work.workdir),
        "setup": "\n".join([*work.profile.setup, *exports(work.profile, on_ray=shape.on_ray)]),
        "cpus": str(shape.cpus),
        "nodes": str(shape.nodes),
        "logs": shlex.quote(folder),
        "max_restarts": str(work.max_restarts),
        "max_requeues": str(settings.max_requeues),
        "wait_seconds": str(WAIT_SECONDS),
        "bin": shlex.quote(str(PurePath(python).parent)),
        "command": _command(work, python),
        "finished": _finished(work, python),
    }
    template = "array" if as_array else "ray" if shape.on_ray else "ranks"
    script = _read_template(template).substitute(values)
    return Job(name=work.name, script=script, folder=folder, results=work.results)


def is_array(work: Work) -> bool:
    """Whether it is an array of jobs of one node each."""
    return work.profile.slurm.array and work.target == "shards"


def header(work: Work) -> list[str]:
    """Options of sbatch, but for name and log."""
    slurm, shape, as_array = work.profile.slurm, work.shape, is_array(work)
    partition = slurm.gpu_partition if work.target in ON_GPUS else slurm.cpu_partition
    options = [
        f"--nodes={1 if as_array else shape.nodes}",
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
    if as_array:
        options.append(f"--array=1-{shape.nodes}")
    elif shape.on_ray:
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


def _command(work: Work, python: str) -> str:
    recipe, *flags = work.stage
    shape = work.shape
    workers = shape.per_node if is_array(work) else shape.processes
    on_ray = [*RAY_FLAGS[work.target], "--workers", str(workers)] if shape.on_ray else []
    return shlex.join([python, "-m", MODULES[work.target], recipe, *on_ray, *flags])


def _finished(work: Work, python: str) -> str:
    if work.target != "train":
        return '[ "$code" -eq 0 ]'
    return shlex.join([python, "-m", "diagonal_train.finished", *work.stage])


def _read_template(name: str) -> _Template:
    path = TEMPLATES / f"{name}.sbatch"
    if not path.exists():
        raise UserError(f"no template {path}; launch from a checkout of the repository")
    return _Template(path.read_text())
