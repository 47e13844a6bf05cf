"""Numbers that change with the samples seen, as `(samples_seen, value)` steps.

    ((0, 112), (1_000_000, 224))     112 for the batches of the first million samples, 224 behind

A batch has one value: that of the samples seen before it. So it is a function of the batch's index,
and the same whatever division of ranks and workers reads it, and after a resume.
"""

from diagonal_infra.errors import require

Steps = tuple[tuple[int, int], ...]


def value_at(steps: Steps, samples_seen: int, default: int) -> int:
    """The value of the last step begun; `default` without steps."""
    return next((value for begin, value in reversed(steps) if begin <= samples_seen), default)


def check_steps(steps: Steps, *, least: int, most: int, flag: str) -> None:
    """Steps begin at 0, one behind the other, with values that can be.

    Raises:
        ValueError: they do not; the message names the flag.
    """
    begins = [begin for begin, _ in steps]
    require(
        not steps or begins[0] == 0,
        f"{flag} starts with the value from 0 samples on, got {begins[:1]}",
    )
    require(
        begins == sorted(set(begins)),
        f"{flag} has steps at {begins} samples, which must rise",
    )
    for _, value in steps:
        require(
            least <= value <= most,
            f"{flag} has {value}, which is not in {least}–{most}, the model's",
        )
