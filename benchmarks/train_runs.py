"""The small training that benchmarks run: its model, shards, flags and logged steps."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagonal_train.config.model import ModelConfig, TextConfig, VisionConfig
from diagonal_train.streaming.index import open_index
from stream_corpus import ADDITIONS, PLACES, SUBJECTS, ShardSet, ensure_set

IMAGE_SIZE, CONTEXT = 64, 77
MODEL = ModelConfig(
    embed_dim=128,
    image_size=IMAGE_SIZE,
    vision=VisionConfig(patch_size=16, width=192, layers=6, head_width=64),
    text=TextConfig(context_length=CONTEXT, width=192, heads=3, layers=4),
)
MEDIAN_WORDS, SIGMA = 12.0, 0.55
"""Of the log-normal number of words."""
FIRST_STEPS = 3
"""Left out: caches fill and memory is first touched."""


def ensure_shards(work: Path, samples: int) -> ShardSet:
    """At least so many samples of 256 px in 8 shards, with their index."""
    shards = ensure_set(
        work,
        short_side=256,
        pictures=1000,
        shards=8,
        samples_per_shard=-(-samples // 8),
        captions=web_caption,
    )
    # Only the first of our runs would make the index, and the difference of two count it negative.
    open_index(shards.pattern, None, cache=str(work / "index"))
    return shards


def our_flags(shards: ShardSet, work: Path, batch_size: int) -> list[str]:
    """Recipe and flags of our trainer, but for `--run` and `--samples-seen`."""
    return [
        *("vit-b32", "--data", shards.pattern, "--seed", "0"),
        *("--model.embed-dim", str(MODEL.embed_dim), "--model.image-size", str(IMAGE_SIZE)),
        *("--model.no-quick-gelu", "--stream.transform", "open_clip", "--stream.num-workers", "1"),
        *_flags("--model.vision.", vars(MODEL.vision)),
        *_flags("--model.text.", vars(MODEL.text)),
        *("--stream.lanes", "64", "--stream.index-cache", str(work / "index")),
        *("--global-batch-size", str(batch_size)),
        *("--optimizer.lr", "1e-3", "--optimizer.warmup-steps", "2"),
    ]


def _flags(prefix: str, fields: Mapping[str, Any]) -> list[str]:
    return [
        word
        for name, value in fields.items()
        if value is not None
        for word in (f"{prefix}{name.replace('_', '-')}", str(value))
    ]


def logged_steps(run: Path) -> list[dict[str, Any]]:
    """What our trainer logged of each step."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def web_caption(number: int) -> str:
    """A caption whose length is that of a web caption; the words do not matter."""
    dice = random.Random(f"web caption {number}")
    wanted = max(2, round(dice.lognormvariate(0, SIGMA) * MEDIAN_WORDS))
    words: list[str] = []
    while len(words) < wanted:
        words += dice.choice(dice.choice((SUBJECTS, PLACES, ADDITIONS))).split()
    return " ".join(words[:wanted])
