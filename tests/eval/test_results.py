import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from diagonal_eval.dataset import iterate_images, open_dataset, read_all_samples
from diagonal_eval.demo_tasks import Drawing, match_drawings, plan_tasks, read_labels
from diagonal_eval.embed import Encoder, Halves, embed_images, embed_texts
from diagonal_eval.results import (
    Results,
    answer_tasks,
    held_out_means,
    held_out_retrieval,
    mean_over_styles,
    predictions_table,
    results_json,
)

TEMPLATES = ("{}", "a drawing of {}")


@pytest.fixture
def measured(tiny_world: Any, colour_encoder: Encoder) -> tuple[list[Drawing], Results]:
    """Drawings of the tiny world and what the colour model makes of them."""
    dataset = open_dataset(tiny_world.dataset)
    labels = read_labels(tiny_world.labels)
    drawings = match_drawings(labels, read_all_samples(dataset))
    samples = [drawing.sample for drawing in drawings]
    images = embed_images(colour_encoder, iterate_images(dataset, samples), 8)

    def embed(texts: Sequence[str]) -> Halves:
        return embed_texts(colour_encoder, texts, 8)

    tasks = answer_tasks(plan_tasks(labels, drawings), images, embed, TEMPLATES)
    results = Results(
        tasks=tasks,
        means=held_out_means(tasks, drawings, seed=0, resamples=50),
        retrieval=held_out_retrieval(drawings, images, embed),
        funnel={"timed_out": 2, "kept": 40},
        leaked=0,
        seed=0,
        dataset_digest=dataset.digest,
        encoder_digest=colour_encoder.digest,
        checkpoint_step=7,
        templates=TEMPLATES,
        wall_seconds={"embed": 1.0},
    )
    return drawings, results


def test_a_model_that_sees_colours_gets_everything_right(
    measured: tuple[list[Drawing], Results],
) -> None:
    _, results = measured
    assert len(results.tasks) == 8
    assert all(result.ensemble.accuracy(1).value == 1 for result in results.tasks)
    assert results.means["seen"].acc1 == 1
    assert results.retrieval["held_out"].image_to_text[1].value == 1
    assert results.retrieval["held_out"].text_to_image[1].n == 8
    assert set(results.retrieval) == {"held_out", "openmoji", "fluent-emoji-flat"}


def test_every_number_in_the_json_has_n_and_an_interval(
    measured: tuple[list[Drawing], Results],
) -> None:
    record = json.loads(json.dumps(results_json(measured[1])))
    style = record["zeroshot"]["openmoji"]
    unseen = style["unseen"]
    for numbers in (
        style,
        style["bare_label"],
        unseen,
        unseen["bare_label"],
        record["mean_held_out"],
    ):
        assert numbers["ci95"][0] <= numbers["top1"] <= numbers["ci95"][1]
        assert numbers["top5_ci95"][0] <= numbers["top5"] <= numbers["top5_ci95"][1]
        assert numbers["n"] > 0
    assert (style["classes"], unseen["classes"], unseen["chance"]) == (6, 2, 0.5)
    assert (record["zeroshot"]["noto"]["trained"], style["trained"]) == (True, False)
    assert record["zeroshot"]["noto"]["unseen"]["trained"] is False
    assert set(style["per_template"]) == set(TEMPLATES)
    recall = record["retrieval"]["held_out"]["image_to_text"]["recall@5"]
    assert recall.keys() == {"value", "n", "ci95"}
    assert record["mean_held_out"]["unseen"]["n"] == 4
    wanted = {"funnel", "wall_seconds", "seed", "dataset_digest", "checkpoint_step"}
    assert wanted <= record.keys()


def test_predictions_join_the_drawings_and_agree_with_the_accuracy(
    measured: tuple[list[Drawing], Results],
) -> None:
    drawings, results = measured
    rows = predictions_table(results.tasks, drawings).to_pylist()
    assert len(rows) == 2 * len(drawings)
    truth = {drawing.sample.uid: drawing.truth for drawing in drawings}
    for row in rows:
        assert truth[row["uid"]].label == row["label"]
        assert truth[row["uid"]].style == row["style"]
        assert truth[row["uid"]].hexcode == row["hexcode"]
        assert row["predicted"][row["rank"]] == row["label"]
        assert len(row["predicted"]) == min(5, 2 if row["concepts"] == "unseen" else 6)


def test_the_mean_gives_each_style_the_same_weight(measured: tuple[list[Drawing], Results]) -> None:
    drawings, results = measured
    chosen = [r for r in results.tasks if r.task.concepts == "seen" and r.task.held_out_style]
    chosen[0].ensemble.rank_N[:] = 5
    mean = mean_over_styles(chosen, drawings, seed=0, resamples=50)
    assert mean.acc1 == 0.5
    assert mean.acc1_interval == pytest.approx((0.5, 0.5))
    assert mean.n == sum(len(result.task.truth_N) for result in chosen) == 12
    assert np.isclose(mean.chance, 1 / 6)
