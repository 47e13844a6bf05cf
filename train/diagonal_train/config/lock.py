"""Encoders that are not trained."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class LockConfig:
    """Locked encoders, as in LiT (Zhai et al., 2022): they keep their weights and statistics."""

    image: bool = False
    """Keep the image encoder as it is, but for its last groups if any are unlocked."""
    text: bool = False
    """Keep the text encoder as it is."""
    image_unlocked_groups: int = 0
    """Last groups of the image encoder that are trained though it is locked: 1 is the projection, 2
    also the last block and the norm behind it, then block by block, the embeddings last."""

    def __post_init__(self) -> None:
        groups = self.image_unlocked_groups
        require(groups >= 0, "--lock.image-unlocked-groups must not be negative")
        require(
            self.image or groups == 0,
            f"--lock.image-unlocked-groups {groups} needs --lock.image",
        )
        require(
            not (self.image and self.text) or groups > 0,
            "--lock.image and --lock.text leave nothing to train; unlock one, or some groups "
            "with --lock.image-unlocked-groups",
        )
