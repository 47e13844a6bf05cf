"""What the wording of the prompt does to a set's accuracy.

Shape suffixes: T templates, N pictures, C classes, D embedding width.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagonal_eval.evalset import EvalSet
from diagonal_eval.features import ImageFeatures
from diagonal_eval.spread import paired_spread, spread_record
from diagonal_eval.suite.measured import EmbedTexts, rate_of, rate_record
from diagonal_eval.zeroshot import BARE_LABEL, build_classifier, predict


def each_template(
    evalset: EvalSet, features: ImageFeatures, embed: EmbedTexts, *, seed: int
) -> dict[str, Any]:
    """acc1 of each template alone and of the bare label, and how far templates lie apart."""
    truth_N = evalset.labels_N
    assert truth_N is not None

    def correct(template: str) -> NDArray[np.bool_]:
        classifier_CD = build_classifier(embed, evalset.class_names, (template,))
        return predict(features.embedding_ND, classifier_CD, truth_N).rank_N == 0

    templates = evalset.templates if evalset.prompts is None else ()
    correct_T = {template: correct(template) for template in dict.fromkeys(templates)}
    record: dict[str, Any] = {
        "per_template": {
            template: rate_record(rate_of(correct_N)) for template, correct_N in correct_T.items()
        },
        "bare_label": rate_record(rate_of(correct(BARE_LABEL[0]))),
    }
    if len(correct_T) >= 2:
        correct_TN = np.stack(list(correct_T.values()))
        record["prompt_spread"] = spread_record(
            paired_spread(correct_TN, list(correct_T), seed=seed)
        )
    return record
