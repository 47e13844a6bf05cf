"""Named configurations of the eval commands.

python -m diagonal_eval demo --checkpoint out/demo/run --output out/demo/eval
python -m diagonal_eval.scores demo --dataset out/demo/dataset --checkpoint out/demo/run
"""

from diagonal_eval.config import EvalConfig, ScoresConfig

DEMO_DATASET = "out/demo/dataset"
DEMO_RUN = "out/demo/run"
DEMO_TEMPLATES = ("{}", "an emoji of {}", "{} emoji", "a drawing of {}")
"""The bare label and short phrases in the manner of the demo's captions."""


def demo() -> EvalConfig:
    """The demo's model on drawing styles and concepts that its training never saw."""
    return EvalConfig(
        checkpoint=DEMO_RUN,
        output="out/demo/eval",
        data=DEMO_DATASET,
        labels="out/demo/web/labels.parquet",
        templates=DEMO_TEMPLATES,
    )


def demo_scores() -> ScoresConfig:
    """Image–caption similarity of the demo's samples by the demo's own model."""
    return ScoresConfig(dataset=DEMO_DATASET, checkpoint=DEMO_RUN)


EVAL = {"demo": demo}
SCORES = {"demo": demo_scores}
