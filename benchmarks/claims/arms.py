"""What is trained for each claim: the demo's recipe with one thing changed.

    claim         arms
    efficiency    contrastive   words   captions
    batch size    contrastive   batch-32   batch-512
    data size     contrastive   data-half   data-quarter
    backbone      contrastive   vit
    temperature   contrastive   fixed-14   fixed-100

All arms of a seed see as many samples, with the same schedule over samples and, where the batch
size and the data are the same, in the same order with the same augmentation.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.config.logging import LoggingConfig
from diagonal_train.config.model import VisionConfig
from diagonal_train.config.train import TrainConfig
from diagonal_train.recipes import TRAIN

Method = Literal["contrastive", "words", "captions"]
BASE = "contrastive"
BATCH = 128
WARMUP_SHARE = 0.1
"""Of the run; the demo has a 20th, which would be too few steps here."""
POINTS = 4
"""Times that an arm of the efficiency claim is judged, evenly spread over the run."""
VIT = VisionConfig(patch_size=8, width=96, layers=4, head_width=32)
"""36.2 MFLOPs forward; the demo's ResNet has 33.4."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One change of the demo's recipe."""

    title: str
    method: Method = "contrastive"
    batch_size: int = BATCH
    data_share: float = 1.0
    """Of the kept samples, drawn anew for each seed."""
    vision: VisionConfig | None = None
    fixed_temperature: float | None = None
    """Logits are divided by it throughout; None learns it from 0.07 on."""
    points: int = 1
    """Times it is judged in the course of the run."""


ARMS = {
    BASE: Arm(title="contrastive", points=POINTS),
    "words": Arm(title="predicts the caption's words", method="words", points=POINTS),
    "captions": Arm(title="predicts the caption", method="captions", points=POINTS),
    "batch-32": Arm(title="batch 32", batch_size=32),
    "batch-512": Arm(title="batch 512", batch_size=512),
    "data-half": Arm(title="half of the samples", data_share=0.5),
    "data-quarter": Arm(title="a quarter of the samples", data_share=0.25),
    "vit": Arm(title="vision transformer", vision=VIT),
    "fixed-14": Arm(title="fixed, scale 14.3", fixed_temperature=0.07),
    "fixed-100": Arm(title="fixed, scale 100", fixed_temperature=0.01),
}
CLAIMS: dict[str, dict[str, str]] = {
    "batch size": {"batch-32": "32", BASE: "128", "batch-512": "512"},
    "data size": {"data-quarter": "a quarter", "data-half": "half", BASE: "all samples"},
    "backbone": {BASE: "ResNet", "vit": "vision transformer"},
    "temperature": {
        BASE: "learned from 14.3 on",
        "fixed-14": "fixed at 14.3",
        "fixed-100": "fixed at 100",
    },
}
"""Arms of each claim but the first, by what they are called in it."""


def config_for(arm: Arm, *, samples: int, seed: int, data: str, run: str) -> TrainConfig:
    """The arm's run; of the prediction arms what they share with it.

    The learning rate goes with the root of the batch size, as Adam wants it (Malladi et al., 2022).
    """
    recipe = TRAIN["demo"]()
    steps = samples // arm.batch_size
    lr = recipe.optimizer.lr * (arm.batch_size / BATCH) ** 0.5
    model = dataclasses.replace(
        recipe.model,
        vision=arm.vision or recipe.model.vision,
        initial_temperature=arm.fixed_temperature,
    )
    return dataclasses.replace(
        recipe,
        data=data,
        filter=None if arm.data_share == 1 else filter_name(arm.data_share, seed),
        run=run,
        seed=seed,
        model=model,
        # In this process: a decoding process would take turns with it on one core.
        stream=dataclasses.replace(recipe.stream, num_workers=0),
        optimizer=dataclasses.replace(
            recipe.optimizer, lr=lr, warmup_steps=round(WARMUP_SHARE * steps)
        ),
        global_batch_size=arm.batch_size,
        samples_seen=samples,
        checkpoint=CheckpointConfig(every_steps=-(-steps // arm.points), keep=arm.points),
        logging=LoggingConfig(tensorboard=False, measure_every_steps=steps),
        log_every_steps=max(1, steps // 50),
    )


def filter_name(share: float, seed: int) -> str:
    """The keep list of a share of the samples, one per seed."""
    return f"share-{share:g}-seed-{seed}"
