"""Configuration of the weak spots' probes."""

from dataclasses import dataclass

from diagonal_infra.errors import require

LEAST_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class WeakSpotConfig:
    """How many pictures are composed, from what."""

    num_pictures: int = 480
    """Of each probe; rounded down so that every answer is right equally often."""
    side: int = 224
    """Width and height of a picture, in pixels."""
    seed: int = 0
    """Same seed, same pictures."""
    data: str = "out/demo/dataset"
    """Dataset folder of the demo; the probes with -drawings in their name take theirs from it."""
    labels: str = "out/demo/web/labels.parquet"
    """Ground truth of the demo's drawings."""
    packages: str = "out/demo/packages"
    """The demo's cache of emoji packages, for the probe of skin tones."""

    def __post_init__(self) -> None:
        require(self.num_pictures >= 1, f"--num-pictures must be at least 1: {self.num_pictures}")
        require(self.side >= LEAST_SIDE, f"--side must be at least {LEAST_SIDE}, got {self.side}")
