import dataclasses

from diagonal_train.exporting.model_card import model_card
from diagonal_train.exporting.records import Records

CONFIG = {"data": "out/d", "filter": None, "global_batch_size": 16, "optimizer": {"lr": 0.002}}
ACCURACY = {"top1": 0.25, "ci95": [0.2, 0.3], "n": 1000, "chance": 0.01}


def records(**changes) -> Records:
    known = {
        "name": "a",
        "step": 20,
        "config": CONFIG,
        "code_revision": "abc",
        "metrics": {"step": 20, "loss": 1.25},
        "summary": {"device": "cpu", "world_size": 2},
        "results": {"zeroshot": {"seen": ACCURACY, "new": {**ACCURACY, "held_out_style": True}}},
    }
    return Records(**{**known, **changes})


def test_the_card_says_what_is_recorded(loaded) -> None:
    card = model_card(loaded("tiny"), records(), "hf")
    for row in (
        "| data | out/d |",
        "| samples seen | 320 |",
        "| loss | 1.2500 |",
        "| device | cpu |",
        "| ranks | 2 |",
        "| code revision | abc |",
        "| peak learning rate | 0.002 |",
        "| zero-shot, new | top-1 0.250 [0.200, 0.300], n = 1,000, chance 0.0100 |",
    ):
        assert row in card.splitlines()
    assert "None was declared" in card
    assert "filter" not in card
    assert "zero-shot, seen" not in card


def test_what_no_record_has_is_left_out(loaded) -> None:
    known = {"metrics": {"step": 10, "loss": 2.0}, "summary": {}, "results": {}}
    card = model_card(loaded("tiny"), records(**known), "hf")
    assert "| loss | 2.0000 (at step 10) |" in card
    assert "device" not in card
    assert "Evaluation" not in card


def test_averaged_weights_are_called_so(loaded) -> None:
    averaged = dataclasses.replace(loaded("tiny"), averaged=True)
    assert "| weights | averaged over steps |" in model_card(averaged, records(), "hf")
    assert "averaged" not in model_card(loaded("tiny"), records(), "hf")


def test_the_demos_image_encoder_is_explained_in_every_format(loaded) -> None:
    demo = loaded("demo")
    assert "trust_remote_code=True" in model_card(demo, records(), "hf")
    assert "image_encoder.register()" in model_card(demo, records(), "open_clip")
    for to in ("hf", "open_clip"):
        card = model_card(loaded("tiny"), records(), to)
        assert "trust_remote_code" not in card
        assert "register" not in card


def test_a_suites_results_are_in_the_table_and_in_the_front_matter(loaded) -> None:
    task = {"metric": "acc1", "metrics": {"acc1": 0.25}, "ci95": {"acc1": [0.2, 0.3]}, "n": 1000}
    card = model_card(loaded("tiny"), records(results={"tasks": {"cifar10": task}}), "hf")
    assert r"| cifar10 | acc1 0.250 \[0.200, 0.300\], n = 1,000 |" in card.splitlines()
    assert "model-index:" in card.split("---\n")[1]
    assert "model-index" not in model_card(loaded("tiny"), records(), "hf")
