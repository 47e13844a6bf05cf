from diagonal_infra.profile import Nodes, Profile
from diagonal_infra.shape import plan_shape
from diagonal_infra.work import Work

PROFILE = Profile(workdir="/shared/code", gpu_nodes=Nodes(cpus=4))


def work(target: str, place: str, name: str = "x", nodes: int = 1) -> Work:
    return Work(
        target=target,
        stage=("demo",),
        profile=PROFILE,
        shape=plan_shape(target, PROFILE, nodes, None),
        resolved={"run" if target == "train" else "dataset": place, "name": name},
    )


def test_results_are_where_the_stage_puts_them() -> None:
    assert work("train", "runs/./a").results == "/shared/code/runs/a"
    assert work("train", "s3://b/a").results == "s3://b/a"


def test_a_name_belongs_to_stage_and_results() -> None:
    same = {work("train", place, nodes=n).name for n in (1, 2) for place in ("r/a", "r/./a")}
    assert len(same) == 1
    assert same.pop().startswith("train-a-")
    assert work("train", "r/a").name != work("train", "s/a").name


def test_two_score_sets_of_a_dataset_are_two_jobs() -> None:
    assert work("scores", "d", "one").name != work("scores", "d", "two").name
