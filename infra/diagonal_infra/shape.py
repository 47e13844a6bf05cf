"""How many processes of a stage on how many nodes. Pure."""

from dataclasses import dataclass

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile
from diagonal_infra.stages import ON_GPUS, RANKED, RAY_FLAGS


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
