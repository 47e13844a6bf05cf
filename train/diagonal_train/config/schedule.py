"""What changes in the course of a run."""

from dataclasses import dataclass

from diagonal_train.config.model import ModelConfig
from diagonal_train.streaming.schedule import Steps, check_steps


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Smaller images and shorter texts for a part of the run (CLIPA, Li et al., 2023).

    Steps are pairs of samples seen and the value from there on, the first at 0 samples. A batch has
    the value of the samples seen before it. () is the model's own size all along.
    """

    image_sizes: Steps = ()
    """Pixels of the images' side, `0 112 11000000000 224` for instance: at most
    --model.image-size, multiples of the patch. They are decoded at that size, and the positional
    embedding is interpolated; vision transformers only."""
    context_lengths: Steps = ()
    """Tokens of a caption, start and end included, at most --model.text.context-length: longer
    captions are cut and keep their end token. They are padded as ever, which --trim-text takes
    off again; CLIP's own tokenizer only."""


def check_sizes(schedule: ScheduleConfig, model: ModelConfig) -> None:
    """Sizes and lengths are at most the model's, and their steps rise from 0.

    Raises:
        ValueError: they are not; the message names the flag.
    """
    sizes, most = schedule.image_sizes, model.image_size
    check_steps(sizes, least=1, most=most, flag="--schedule.image-sizes")
    lengths, most = schedule.context_lengths, model.text.context_length
    check_steps(lengths, least=2, most=most, flag="--schedule.context-lengths")
