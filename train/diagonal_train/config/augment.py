"""Random changes of the image on the device."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the image on the device. A probability of 0 leaves a step out."""

    flip: float = 0.0
    """Probability of mirroring left to right."""
    background: float = 0.0
    """Probability of another colour for all pixels as the top left corner is, often white."""
    affine: float = 0.0
    """Probability of a small turn, zoom and shift; pixels at the edge repeat."""
    colour: float = 0.0
    """Probability of changing brightness, contrast and saturation."""
    hue: float = 0.0
    """Probability of turning the colours about the grey axis by a random angle."""
    permute_channels: float = 0.0
    """Probability of putting the colour channels in a random order."""
    greyscale: float = 0.0
    """Probability of taking the colour away."""
    invert: float = 0.0
    """Probability of the negative."""
    outline: float = 0.0
    """Probability of darkening edges, as line drawings do."""
    erase: float = 0.0
    """Probability of filling a rectangle with one random colour."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            flag = f"--augment.{name.replace('_', '-')}"
            require(0 <= value <= 1, f"{flag} is a probability, got {value}")
