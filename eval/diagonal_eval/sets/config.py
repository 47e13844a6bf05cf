"""Where evaluation sets lie and in which words their classes are put to the model."""

from dataclasses import dataclass

from diagonal_infra.errors import UserError, require


@dataclass(frozen=True, kw_only=True)
class SetsConfig:
    """Folders, wording and size of evaluation sets."""

    root: str = "out/eval-sets"
    """Folder or URL with a set of the registry per folder: ROOT/cifar10."""
    language: str = "en"
    """Of packaged class names and templates: en, ar, cn, it, jp."""
    templates: str | None = None
    """File with a prompt template a line, {} for the class name; in place of each set's own."""
    prompts: str | None = None
    """Prompts per class in place of templates: cupl, or a JSON file {class name: [prompt, …]}."""
    class_names: str | None = None
    """File with a class name a line, in the order of the labels; in place of the set's own."""
    max_samples: int | None = None
    """Pictures taken of each set, drawn by a hash of their keys; None: all."""
    seed: int = 0
    """Of that draw."""
    cache: str = "out/eval-sets-cache"
    """Local folder for indexes, copies of remote tars and packages."""

    def __post_init__(self) -> None:
        several = self.max_samples is None or self.max_samples >= 1
        require(several, f"--sets.max-samples must be at least 1, got {self.max_samples}")
        both = self.templates is not None and self.prompts is not None
        require(not both, "--sets.templates and --sets.prompts are two ways to say one thing")


class AbsentSetError(UserError):
    """A set is not where it was looked for; the message says how to get it."""
