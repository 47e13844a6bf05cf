"""Set-ups that would train without an error, and wrongly: refused at the start, or warned of.

    check ─► activation ─► negatives ─► tokens against the text encoder ─► samples   UserError
          └► warm-up, batch norm over ranks, clock of the checkpoints                warnings

Other places refuse the rest: configurations their own values (temperature, learning rate),
`lanes_of` ranks × workers that do not divide the lanes, `models` the sizes of a built-in model. Few
shards are no trouble here: readers share lanes of windows, not shards.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_train.config.model import ModelConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder, built_in_settings
from diagonal_train.start import Start
from diagonal_train.streaming.lanes import LaneStream

CAPTIONS = ["a photo of a dog", "one two three four five six seven eight nine ten " * 20]
"""One that fits into the context, and one that does not."""
CLOCK_SECONDS = 60.0
"""How far clocks of machines may be apart."""
logger = logging.getLogger(__name__)


def check(
    config: TrainConfig, world: World, *, model: DualEncoder, stream: LaneStream, start: Start
) -> None:
    """Refuse what is wrong, warn of what may be; every rank calls it and finds the same.

    Raises:
        UserError: the message names the flag to change.
    """
    check_activation(config.model)
    check_negatives(config, samples=len(stream.index))
    check_tokens(config.model, model, stream.tokenizer)
    if world.is_main:
        for warning in (
            *schedule_warnings(config),
            *batch_norm_warnings(model, world),
            *clock_warnings(start, time.time()),
        ):
            logger.warning(warning)


def check_activation(config: ModelConfig) -> None:
    """A built-in model has the activation that the configuration, and so the export, says.

    Raises:
        UserError: it has the other one.
    """
    if config.name is None:
        return
    built = built_in_settings(config.name).get("quick_gelu", False)
    if built != config.quick_gelu:
        names = {True: "QuickGELU (--model.quick-gelu)", False: "GELU (--model.no-quick-gelu)"}
        raise UserError(
            f"open_clip's {config.name} is built with {names[built]} and the configuration says "
            f"{names[config.quick_gelu]}; change the flag, or --model.name to the other variant"
        )


def check_negatives(config: TrainConfig, *, samples: int) -> None:
    """Each pair of a batch has others to be told from, and none of these is itself.

    Raises:
        UserError: the batch is one pair, or more than the dataset has.
    """
    size = config.global_batch_size
    if size == 1:
        raise UserError(
            "--global-batch-size 1 has no pair to tell a pair from, so nothing is learned; "
            "give at least 2"
        )
    if samples < size:
        raise UserError(
            f"{config.data!r} with --filter {config.filter} has {samples} samples and "
            f"--global-batch-size is {size}: a batch would hold samples twice, each a false "
            "negative of itself; use a smaller batch or more data"
        )


def check_tokens(
    config: ModelConfig, model: DualEncoder, tokenizer: Callable[[list[str]], Tensor]
) -> None:
    """The tokenizer's ids, length and end are those that the text encoder reads.

    Raises:
        UserError: one is not; the encoder would read other words, or the caption elsewhere.
    """
    encoder: Any = getattr(model.clip, "text", model.clip)
    tokens_BT = tokenizer(CAPTIONS)
    positions, length = getattr(encoder, "positional_embedding", None), tokens_BT.shape[1]
    if positions is not None and length > len(positions):
        raise UserError(
            f"the tokenizer gives {length} tokens and the text encoder has {len(positions)} "
            f"positions; set --model.text.context-length {len(positions)}"
        )
    embedding, highest = getattr(encoder, "token_embedding", None), int(tokens_BT.max())
    if embedding is not None and highest >= embedding.num_embeddings:
        raise UserError(
            f"the tokenizer of {config.name or 'CLIP'} has ids up to {highest} at least and the "
            f"text encoder a vocabulary of {embedding.num_embeddings}; they belong to other models"
        )
    if not _ends_where_read(model.clip, encoder, tokens_BT):
        raise UserError(
            f"the text encoder of {config.name or 'CLIP'} does not find the end of a caption in "
            "its tokenizer's ids; they belong to other models"
        )


def _ends_where_read(clip: Any, encoder: Any, tokens_BT: Tensor) -> bool:
    """Whether the token that the encoder pools is the caption's last, padding aside."""
    pooled = getattr(clip, "text_pool_type", getattr(encoder, "pool_type", None))
    last_B = (tokens_BT != 0).int().cumsum(-1).argmax(-1)
    if pooled == "argmax":
        return torch.equal(tokens_BT.argmax(-1), last_B)
    if pooled == "eos":
        eos = getattr(clip, "text_eos_id", getattr(encoder, "eos_id", None))
        return bool((tokens_BT == eos).any(-1).all())
    return True


def schedule_warnings(config: TrainConfig) -> Iterator[str]:
    """A recipe that is tried for fewer steps than its warm-up has is no mistake, but no result."""
    warmup, steps = config.optimizer.warmup_steps, config.total_steps
    if warmup > steps:
        yield (
            f"--optimizer.warmup-steps {warmup} are more than the {steps} steps of the run: the "
            f"learning rate only rises, to {steps / warmup:.0%} of --optimizer.lr; for a result "
            "shorten the warm-up or train longer"
        )


def batch_norm_warnings(model: DualEncoder, world: World) -> Iterator[str]:
    """Statistics over a rank's part of the batch make the model depend on how many ranks it had."""
    if world.world_size > 1 and any(isinstance(part, _BatchNorm) for part in model.modules()):
        yield (
            f"the image encoder has batch norm, whose statistics are those of one rank of "
            f"{world.world_size}: with another number of ranks the run computes something else"
        )


def clock_warnings(start: Start, now: float) -> Iterator[str]:
    """A checkpoint from the future means that clocks differ, and times by the clock with them."""
    if start.found is None:
        return
    written = storage.modified(storage.join(str(start.found.path), "manifest.json"))
    if written is not None and written > now + CLOCK_SECONDS:
        yield (
            f"checkpoint {start.found.path} was written {written - now:.0f} s in the future: this "
            "machine's clock is behind that one's; steps, not times, decide which is newest"
        )
