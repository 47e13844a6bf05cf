"""What is asked of the model while it trains."""

from dataclasses import dataclass

from diagonal_infra.errors import require


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Retrieval and zero-shot classification on samples held out from training, in the loop."""

    every_steps: int | None = None
    """Steps between probes, and one behind the last step; None is no probe."""
    data: str | None = None
    """A dataset folder or tars, as --data; the training data itself if --probe.filter keeps others
    of it."""
    filter: str | None = None
    """Keep list of the probe's dataset; None takes every sample."""
    samples: int = 1000
    """At most so many, spread evenly over the probe's data. They are held decoded in memory, each
    on one rank (150 kB at 224 pixels)."""
    classes: str | None = None
    """Text file with a class name per line: a picture's class is the longest name that stands in
    its caption. By default each distinct caption is a class."""
    templates: tuple[str, ...] = ("{}",)
    """Prompts of a class; `{}` is its name."""

    def __post_init__(self) -> None:
        every = self.every_steps
        require(every is None or every >= 1, "--probe.every-steps must be at least 1")
        require(
            every is None or self.data is not None,
            "--probe.every-steps needs --probe.data, samples that are held out from training",
        )
        require(self.samples >= 1, "--probe.samples must be at least 1")
        require(len(self.templates) > 0, "--probe.templates must hold at least one")
        require(
            all("{}" in template for template in self.templates),
            "each of --probe.templates needs {} where the name goes",
        )
