import pytest

from diagonal_infra.errors import UserError
from diagonal_infra.profile import Nodes, Profile
from diagonal_infra.shape import Shape, plan_shape

PROFILE = Profile(gpu_nodes=Nodes(gpus=8, cpus=96, most=16), cpu_nodes=Nodes(cpus=64))


def shape(target: str, nodes: int = 1, processes: int | None = None) -> Shape:
    return plan_shape(target, PROFILE, nodes, processes)


def test_training_has_a_rank_for_each_gpu() -> None:
    assert shape("train", 2) == Shape(nodes=2, per_node=8, cpus=12, gpus=8, on_ray=False)


def test_shards_have_a_worker_for_each_core_of_a_ray_cluster() -> None:
    assert shape("shards", 3) == Shape(nodes=3, per_node=64, cpus=64, gpus=0, on_ray=True)
    assert shape("scores", 3).processes == 24


def test_fewer_ranks_than_gpus_can_be_asked_for() -> None:
    assert shape("train", 2, 4).per_node == 2


@pytest.mark.parametrize(
    ("target", "nodes", "processes", "message"),
    [
        ("train", 1, 16, "--processes 16 need --nodes 2: the profile's gpu_nodes have gpus = 8"),
        ("train", 3, 16, "--processes 16 cannot be shared equally by --nodes 3"),
        ("train", 17, None, "--nodes 17 are more than the profile's gpu_nodes.most, 16"),
        ("shards", 1, 65, "need --nodes 2: the profile's cpu_nodes have cpus = 64"),
        ("filters", 2, None, "filters is one process"),
    ],
)
def test_what_the_nodes_cannot_hold_is_refused(
    target: str, nodes: int, processes: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        shape(target, nodes, processes)


def test_nodes_that_the_profile_does_not_describe_are_named() -> None:
    with pytest.raises(UserError, match=r"shards runs on the profile's \[cpu_nodes\]"):
        plan_shape("shards", Profile(gpu_nodes=Nodes(cpus=1)), 1, None)
