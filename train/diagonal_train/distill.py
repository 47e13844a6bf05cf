"""What a run with a teacher takes from the data: the teacher's temperature, and its embeddings.

DATASET/manifest.json  settings.teachers.NAME  {logit_scale, captions, …}  by reinforce.py
batch ─► Teacher ─► distilled_loss
"""

import dataclasses
from typing import Any

import torch.nn.functional as F

from diagonal_data.manifest import read_manifest
from diagonal_infra.errors import UserError
from diagonal_train.config.train import TrainConfig
from diagonal_train.loss import Teacher
from diagonal_train.streaming.batch import Batch
from diagonal_train.streaming.index import SEPARATOR
from diagonal_train.streaming.tar_index import names_tars


def with_teacher_scale(config: TrainConfig) -> TrainConfig:
    """The configuration with the teacher's logit scale filled in from the dataset's record.

    Raises:
        UserError: nobody says what it is, or the embeddings are of other captions.
    """
    distill, captions = config.distill, list(config.stream.captions)
    if not distill.weight:
        return config
    records = [teacher_record(source, distill.teacher) for source in config.data.split(SEPARATOR)]
    for record in records:
        if record.get("captions", captions) != captions:
            raise UserError(
                f"the embeddings of teacher {distill.teacher!r} in {config.data!r} are of the "
                f"captions {record['captions']}; set --stream.captions to these"
            )
    if distill.logit_scale is not None:
        return config
    scales = {record.get("logit_scale") for record in records}
    scale = scales.pop()
    if scales or scale is None:
        raise UserError(
            f"{config.data!r} does not record one logit scale of teacher {distill.teacher!r}; "
            "set --distill.logit-scale (100 for OpenAI's and most of open_clip's models)"
        )
    return dataclasses.replace(config, distill=dataclasses.replace(distill, logit_scale=scale))


def teacher_record(source: str, name: str) -> dict[str, Any]:
    """What a dataset's manifest says of a teacher; nothing for foreign tars."""
    if names_tars(source):
        return {}
    return read_manifest(source).get("settings", {}).get("teachers", {}).get(name, {})


def teacher_of(batch: Batch, config: TrainConfig) -> Teacher | None:
    """The teacher's embeddings of a batch, again of length 1 in float32; None without a teacher."""
    if batch.teacher is None:
        return None
    assert config.distill.logit_scale is not None
    image_BE, text_BE = F.normalize(batch.teacher.float(), dim=-1).unbind(1)
    return Teacher(
        image_BE=image_BE,
        text_BE=text_BE,
        logit_scale=config.distill.logit_scale,
        weight=config.distill.weight,
    )
