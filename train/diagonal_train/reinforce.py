"""A dataset with a teacher's embeddings beside each sample, for `--distill.weight`.

    python -m diagonal_train.reinforce --dataset out/d --teacher out/runs/big --output out/e

    sample ─► largest centred square, captions ─► teacher ─► the sample's bytes + KEY.teacher.npy

The shards keep their names and samples their keys and order; what failed or was taken down is left
out. A shard is whole or not there, so that the same command finishes a killed run, to the same
bytes on the same machine. A sample that cannot be decoded is copied without embeddings. Each image
is embedded once, in the view that evaluation takes.

Shape suffixes: B samples, C colours, H and W pixels, N texts, E embedding width.
"""

import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from diagonal_data.manifest import Manifest, open_manifest, read_manifest, shards_folder
from diagonal_data.reshard import read_contents, write_copies
from diagonal_data.rows import read_rows, taken_down
from diagonal_data.schema import ROW_SCHEMA
from diagonal_data.tar import Sample, sample_bytes
from diagonal_infra import log, storage
from diagonal_infra.cli import run_command
from diagonal_infra.errors import CheckpointError, UserError
from diagonal_train.config.reinforce import ReinforceConfig
from diagonal_train.encoders.load import LoadedModel, load_model, load_pretrained
from diagonal_train.streaming.normalise import normalised
from diagonal_train.streaming.reader import BadSampleError, image_and_members
from diagonal_train.streaming.samples import captions_of
from diagonal_train.streaming.teacher import member_name, packed
from diagonal_train.streaming.transforms import DecodeError, center_crop

PREFIX = "open_clip:"
DECODING_THREADS = 8
Row = dict[str, Any]
Opened = tuple[np.ndarray, list[str], dict[str, bytes]]
"""Pixels, captions and members of a sample."""
logger = logging.getLogger(__name__)


def main(config: ReinforceConfig) -> None:
    """Write, then say how much."""
    manifest = reinforce(config)
    samples = sum(info.samples for info in manifest.shards.values())
    scale = manifest.settings["teachers"][config.name]["logit_scale"]
    log.STDOUT.print(
        f"{samples:,} samples in {len(manifest.shards)} shards at {config.output}; "
        f"the teacher's logit scale is {scale:.2f}"
    )


def reinforce(config: ReinforceConfig) -> Manifest:
    """Write the dataset; finished shards of an earlier, killed run are kept.

    Raises:
        UserError: no such dataset or teacher, or an output folder of another origin.
        CheckpointError: the teacher's embeddings are not finite.
    """
    if storage.join(config.output) == storage.join(config.dataset):
        raise UserError(f"--output {config.output!r} is the dataset itself; name another folder")
    rows = kept_rows(config.dataset)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = load_teacher(config.teacher, device)
    settings = _settings(config, teacher, rows)
    storage.check_writable(config.output)
    with storage.sole_writer(config.output), log.progress() as progress:
        storage.delete_partials(shards_folder(config.output))
        manifest = open_manifest(config.output, settings, config)
        names = rows["shard"].unique().to_pylist()
        for name in progress.track(names, description="reinforce"):
            if name not in manifest.shards:
                contents = read_contents(config.dataset, rows.filter(pc.field("shard") == name))
                samples = with_embeddings(contents, teacher, config)
                manifest.add(write_copies(config.output, name, samples))
                manifest.write()
    return manifest


def kept_rows(dataset: str) -> pa.Table:
    """Rows of the samples that are there and not taken down, in the order of the dataset."""
    rows = read_rows(dataset, ROW_SCHEMA.names)
    kept = rows.filter(pa.array(~taken_down(dataset, rows)))
    return kept.filter(pc.field("status") == "success")


def load_teacher(name: str, device: torch.device) -> LoadedModel:
    """A run's model, or one of open_clip's.

    Raises:
        UserError: there is none of that name.
    """
    if name.startswith(PREFIX):
        return load_pretrained(name.removeprefix(PREFIX), device)
    return load_model(name, device=device)


def with_embeddings(
    samples: Iterable[tuple[Row, bytes]], teacher: LoadedModel, config: ReinforceConfig
) -> Iterator[tuple[Row, bytes]]:
    """The same samples with one member more, where they can be embedded."""
    remaining, without = iter(samples), 0
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        while batch := list(itertools.islice(remaining, config.batch_size)):
            opened = list(pool.map(lambda sample: _open(sample[1], teacher, config), batch))
            embedded = embed([one for one in opened if one is not None], teacher)
            for (row, content), one in zip(batch, opened, strict=True):
                if one is None:
                    without += 1
                    yield row, content
                else:
                    members = one[2] | {member_name(config.name): packed(next(embedded))}
                    yield row, sample_bytes(Sample(key=row["key"], members=members))
    if without:
        logger.warning("copied without embeddings samples=%d: not to be decoded", without)


@torch.inference_mode()
def embed(opened: list[Opened], teacher: LoadedModel) -> Iterator[np.ndarray]:
    """For each sample, the embedding of its image and those of its captions, as rows.

    Raises:
        CheckpointError: one is not finite.
    """
    if not opened:
        return iter(())
    model, device = teacher.model, next(teacher.model.parameters()).device
    pixels_BHWC = torch.from_numpy(np.stack([pixels for pixels, _, _ in opened]))
    images_BCHW = normalised(
        pixels_BHWC.permute(0, 3, 1, 2).to(device), mean=teacher.mean, std=teacher.std
    )
    images_BE = model.encode_image(images_BCHW).float()
    texts = [text for _, captions, _ in opened for text in captions]
    texts_NE = model.encode_text(teacher.tokenizer(texts).to(device)).float()
    if not (images_BE.isfinite().all() and texts_NE.isfinite().all()):
        raise CheckpointError("the teacher's embeddings are not finite; take another checkpoint")
    by_sample = texts_NE.split([len(captions) for _, captions, _ in opened])
    pairs = zip(images_BE.split(1), by_sample, strict=True)
    return iter([torch.cat(pair).cpu().numpy() for pair in pairs])


def _open(content: bytes, teacher: LoadedModel, config: ReinforceConfig) -> Opened | None:
    """None for what training would replace."""
    try:
        image, members = image_and_members(content)
        captions = captions_of(members, config.captions)
        return center_crop(image, teacher.image_size), captions, members
    except (BadSampleError, DecodeError):
        return None


def _settings(config: ReinforceConfig, teacher: LoadedModel, rows: pa.Table) -> dict[str, Any]:
    """What every shard of the output shares: the source's settings, and the teacher's record."""
    source = read_manifest(config.dataset)
    before = source.get("settings", {})
    content = hashlib.sha256("".join(rows["uid"].to_pylist()).encode())
    for shard in source["shards"]:
        content.update(f"{shard['name']}:{shard['sha256']}\n".encode())
    record = {
        "model": config.teacher,
        "weights": _digest_of(teacher),
        "captions": list(config.captions),
        "batch_size": config.batch_size,
        "logit_scale": teacher.model.logit_scale.exp().item(),
    }
    return before | {
        "reinforced_from": config.dataset,
        "source_digest": content.hexdigest(),
        "teachers": before.get("teachers", {}) | {config.name: record},
    }


def _digest_of(teacher: LoadedModel) -> str:
    """SHA-256 of the weights: a run that was trained on is another teacher."""
    content = hashlib.sha256()
    for name, value in sorted(teacher.model.state_dict().items()):
        content.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        content.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return content.hexdigest()


if __name__ == "__main__":
    run_command(main, ReinforceConfig, description=__doc__)
