"""A stage on each kind of cluster: print, hand in, follow.

Each launcher returns the exit code of what it followed, or None where nothing was.
"""

import logging
import shlex
import subprocess
import sys

from diagonal_infra import kubernetes, skypilot, slurm, storage
from diagonal_infra.slurm_script import is_array, plan_job
from diagonal_infra.work import Work

logger = logging.getLogger(__name__)


def on_slurm(work: Work, *, dry: bool, follow: bool) -> int | None:
    """As a job of Slurm's."""
    job = plan_job(work)
    sys.stdout.write(job.script)
    if dry:
        return None
    if "://" in work.results:
        # With the keys that the job will have: sbatch hands this environment on.
        storage.check_writable(work.results)
    job_id = slurm.submit(job)
    log = job.log_path(f"{job_id}_*" if is_array(work) else job_id)
    logger.info("job=%s name=%s log=%s", job_id, job.name, log)
    logger.info("results will be in %s", work.results)
    return int(slurm.follow(job, job_id) != "COMPLETED") if follow else None


def on_kuberay(work: Work, *, dry: bool, follow: bool) -> int | None:
    """As an Indexed Job or a RayJob of Kubernetes."""
    overlay = kubernetes.plan_overlay(work)
    sys.stdout.write(overlay.kustomization)
    if dry:
        return None
    kubernetes.submit(overlay)
    logger.info("results will be in %s", work.results)
    return int(not kubernetes.follow(overlay)) if follow else None


def on_skypilot(work: Work, *, dry: bool, follow: bool) -> int | None:
    """As a managed job of SkyPilot's."""
    command = skypilot.plan_command(work, follow=follow)
    sys.stdout.write(shlex.join(command) + "\n")
    if dry:
        return None
    skypilot.refuse_second(work.name, command)
    logger.info("results will be in %s", work.results)
    code = subprocess.run(command, check=False).returncode
    return code if follow or code else None
