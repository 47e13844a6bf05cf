import math

import pytest
import yaml

from diagonal_train.exporting.card_text import (
    fields_table,
    front_matter,
    headline_rows,
    model_index,
)

HOSTILE = 'a: "b" # c\n--- \x85\u2028\u202e\x7f 日本 😀 \\u0041'
RESULTS = {
    "tasks": {
        HOSTILE: {
            "kind": "classification",
            "metric": "acc1",
            "split": "test",
            "metrics": {"acc1": 0.5},
            "ci95": {"acc1": [0.4, 0.6]},
            "n": 1000,
        },
        "flickr30k": {
            "kind": "retrieval",
            "metric": "image_retrieval_recall@1",
            "metrics": {"image_retrieval_recall@1": 1e-05},
        },
        "broken": {"metric": "acc1", "metrics": {"acc1": math.nan}},
    }
}


def read(text: str) -> dict:
    before, inner, after = text.split("---\n", 1)[0], *text.split("---\n", 1)[1].rsplit("---\n", 1)
    assert before == after == ""
    return yaml.safe_load(inner)


def test_the_front_matter_reads_back_to_the_letter() -> None:
    fields = {
        "tags": ["clip"],
        "name": HOSTILE,
        "empty": [],
        "n": 3,
        "licence": "no",
        "small": 1e-05,
    }
    assert read(front_matter(fields)) == fields


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert read(front_matter({"name": "a\ud800"})) == {"name": "a\ufffd"}


def test_the_model_index_has_every_task_with_a_number() -> None:
    (entry,) = read(front_matter({"model-index": model_index("m", RESULTS)}))["model-index"]
    assert entry["name"] == "m"
    first, second = entry["results"]
    assert first["task"]["type"] == "zero-shot-image-classification"
    assert first["dataset"] == {"name": HOSTILE, "type": HOSTILE, "split": "test"}
    assert first["metrics"] == [{"type": "accuracy", "name": "acc1", "value": 0.5}]
    assert second["task"]["type"] == "image-text-retrieval"
    assert second["metrics"][0]["value"] == 1e-05


def test_hugging_face_reads_the_model_index() -> None:
    repocard = pytest.importorskip("huggingface_hub").repocard
    card = repocard.ModelCard(front_matter({"model-index": model_index("m", RESULTS)}) + "# m\n")
    found = card.data.eval_results
    assert [(r.dataset_name, r.metric_name, r.metric_value) for r in found] == [
        (HOSTILE, "acc1", 0.5),
        ("flickr30k", "image_retrieval_recall@1", 1e-05),
    ]


def test_nothing_measured_is_no_model_index() -> None:
    assert model_index("m", {}) == model_index("m", {"tasks": {}}) == []


def test_the_table_of_headlines_has_interval_and_n() -> None:
    rows = headline_rows(RESULTS)
    assert rows[0][1] == r"acc1 0.500 \[0.400, 0.600\], n = 1,000"
    assert len(rows) == 2


def test_rows_without_a_value_are_left_out() -> None:
    assert fields_table([("a", 1), ("b", None), ("c", "")]) == "| | |\n|---|---|\n| a | 1 |\n"
