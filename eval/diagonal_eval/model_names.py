"""What names a model: a run, one of its checkpoints, or a model of open_clip's with weights."""

import logging

from diagonal_infra import storage
from diagonal_infra.errors import UserError
from diagonal_train.encoders.models import has_built_in
from diagonal_train.encoders.published import UNTRAINED, WITH_WEIGHTS

OPEN_CLIP = "open_clip:"
logger = logging.getLogger(__name__)


def split_checkpoint(checkpoint: str) -> tuple[str, int | None]:
    """`RUN/checkpoints/step-00001000` → RUN and 1000; any other path is a run folder."""
    run, mark, name = checkpoint.rstrip("/").rpartition("/checkpoints/step-")
    if mark and name.isdecimal():
        return run, int(name)
    return checkpoint.rstrip("/"), None


def open_clip_name(model: str, pretrained: str | None) -> str | None:
    """MODEL/WEIGHTS, `local-dir:FOLDER` or `hf-hub:NAME`; None for the path of a run.

    MODEL:WEIGHTS is the same. A model whose name begins with `open_clip:` may stand without
    weights: then it is untrained, which shows what chance gives.

    Raises:
        UserError: the name is one of open_clip's without weights, or neither that nor a run.
    """
    name = model.removeprefix(OPEN_CLIP)
    if name != model and not name.startswith(WITH_WEIGHTS):
        name = name.replace(":", "/", 1)
    is_run = storage.exists(storage.join(split_checkpoint(model)[0], "config.json"))
    with_weights = name.startswith(WITH_WEIGHTS)
    built_in = not with_weights and has_built_in(name.partition("/")[0])
    if is_run or not (built_in or with_weights or name != model):
        if pretrained is not None:
            raise UserError(f"--pretrained {pretrained}: {model!r} is no model of open_clip's")
        if not is_run:
            raise UserError(
                f"{model!r} is neither a run (no config.json; train one with 'make train') nor a "
                "model that open_clip knows"
            )
        return None
    if pretrained is not None:
        return f"{name}/{pretrained}"
    if built_in and name != model and "/" not in name:
        logger.warning("no weights named, so the model is untrained model=%s", name)
        return f"{name}/{UNTRAINED}"
    if built_in and "/" not in name:
        raise UserError(
            f"--model {name} is a model of open_clip's without weights; give a file of them: "
            "--pretrained FILE"
        )
    return name


def shown_name(published: str) -> str:
    """MODEL:WEIGHTS, which a path of the weights can be told from."""
    return published if published.startswith(WITH_WEIGHTS) else published.replace("/", ":", 1)
