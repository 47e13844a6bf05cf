"""Which of the labels on the command line fits each picture.

    python -m diagonal_eval.zeroshot classify --checkpoint runs/a --labels "a cat" "a dog" \\
        -- img1.jpg img2.png 'more/*.webp' folder https://example.org/img.jpg

Probabilities are over these labels only, at the model's own temperature: they say which label fits
best, not that any does. A picture that cannot be read is named on stderr and the rest are done;
the exit code is then 1.
"""

from diagonal_eval.classify.classify import classify
from diagonal_eval.classify.config import ZEROSHOT, ClassifyConfig
from diagonal_eval.classify.output import show
from diagonal_eval.embed import load_encoder
from diagonal_infra.cli import run_command
from diagonal_infra.errors import UnitError


def run() -> None:
    """The command line."""
    run_command(main, ZEROSHOT, description=__doc__)


def main(config: ClassifyConfig) -> None:
    """Classify and show.

    Raises:
        UserError: no such model, no labels, no pictures.
        UnitError: some pictures could not be read; the others are shown.
    """
    found = classify(config, load_encoder(config.checkpoint))
    show(config, found)
    failed = [each.image for each in found if not each.guesses]
    if failed:
        raise UnitError(
            f"{len(failed)} of {len(found)} pictures cannot be read or decoded: "
            f"{', '.join(failed[:20])}"
        )
