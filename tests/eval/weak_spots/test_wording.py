import numpy as np

from diagonal_eval.weak_spots.config import WeakSpotConfig
from diagonal_eval.weak_spots.sets import WEAK_SPOTS
from diagonal_eval.zeroshot import fill_template


def test_every_thing_is_shown_equally_often() -> None:
    evalset = WEAK_SPOTS["weak/wording"](WeakSpotConfig(num_pictures=49, side=96))
    assert evalset.labels_N is not None
    assert np.bincount(evalset.labels_N).tolist() == [8] * 6


def test_prompts_are_sentences_that_differ() -> None:
    evalset = WEAK_SPOTS["weak/wording"](WeakSpotConfig(num_pictures=6, side=96))
    prompts = [fill_template(template, evalset.class_names[0]) for template in evalset.templates]
    assert len(set(prompts)) == 12
    assert "a drawing of a circle" in prompts
