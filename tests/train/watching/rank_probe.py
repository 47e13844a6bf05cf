"""One of several ranks that probes a fresh model; the first prints what it found as JSON.

rank_probe.py DATA FILTER RUN whole|sharded
"""

import dataclasses
import json
import sys

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from diagonal_train.config.probe import ProbeConfig
from diagonal_train.distributed import from_environment, in_process_group
from diagonal_train.loop import set_up
from diagonal_train.recipes import TRAIN
from diagonal_train.step import Job
from diagonal_train.watching.probe import open_probe


def main(data: str, keep_list: str, run: str, weights: str) -> None:
    """Probe once."""
    torch.set_num_threads(1)
    world = from_environment()
    probe_config = ProbeConfig(every_steps=1, data=data, filter=keep_list, samples=90)
    config = dataclasses.replace(
        TRAIN["tiny"](), data=data, filter="most", run=run, probe=probe_config
    )

    def ask() -> dict[str, float] | None:
        job = set_up(config, world)
        if weights == "sharded":
            job = sharded(job)
        probe = open_probe(job)
        assert probe is not None
        found = probe.run(lambda: False)
        if weights == "sharded":
            kinds = {type(p).__name__ for p in job.state.model.parameters() if p.ndim}
            assert kinds == {"DTensor"}, kinds
        return found

    found = in_process_group(world, ask)
    if world.is_main:
        sys.stdout.write(json.dumps(found) + "\n")


def sharded(job: Job) -> Job:
    """The same with every weight cut over the ranks and averaged, but for the scale."""
    model = job.state.model
    mesh = init_device_mesh("cpu", (job.world.world_size,))
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()
    fully_shard(model.clip.transformer.resblocks[0], mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params={model.logit_scale})
    averaged = {name: value.clone() for name, value in model.state_dict().items()}
    state = dataclasses.replace(job.state, averaged=averaged)
    return dataclasses.replace(job, replica=model, state=state)


if __name__ == "__main__":
    main(*sys.argv[1:])
