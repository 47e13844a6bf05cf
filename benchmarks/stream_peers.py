"""The peers' loaders as their users call them, in a process of its own.

python stream_peers.py '{"program": …, "data": …, "report": PATH, …}'    JSON to PATH

open_clip          open_clip_train's loader with worker processes, between two marks
open_clip-first    seconds from the call that makes it to its first batch
open_clip-state    whether its loader has a state to resume from
webdataset, wids   encoded images and captions in this process, between two marks
webdataset-resume  seconds to the first batch of a stream that must skip what was seen
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import open_clip
import torch
import webdataset
import wids
from open_clip.transform import AugmentationCfg, PreprocessCfg, image_transform_v2
from open_clip_train.data import get_data
from open_clip_train.params import parse_args
from torchvision.transforms import Compose

import stream_window

MODEL = "ViT-B-32"
SHUFFLE = 1000
SAMPLES_PER_RUN = 10_000_000
"""More than any run reads, so that no epoch ends in it."""


def train_transform() -> Compose:
    """What open_clip_train makes of a picture for the model, without making the model."""
    config = open_clip.get_model_config(MODEL)
    assert config is not None, "open_clip has the model"
    size = PreprocessCfg(size=config["vision_cfg"]["image_size"])
    transform = image_transform_v2(size, is_train=True, aug_cfg=AugmentationCfg())
    assert isinstance(transform, Compose), "what open_clip makes without timm"
    return transform


def open_clip_loader(request: dict[str, Any]) -> Any:
    """The training loader, from the flags that a user gives."""
    args = parse_args(
        [
            *("--train-data", request["data"], "--dataset-type", "webdataset"),
            *("--train-num-samples", str(SAMPLES_PER_RUN), "--dataset-resampled"),
            *("--batch-size", str(request["batch"]), "--workers", str(request["workers"])),
            *("--model", MODEL),
        ]
    )
    # main() adds these from the launcher's environment.
    alone = Namespace(**vars(args) | {"rank": 0, "world_size": 1, "distributed": False})
    transform = train_transform()
    data = get_data(alone, (transform, transform), tokenizer=open_clip.get_tokenizer(MODEL))
    return data["train"].dataloader


def open_clip_steady(request: dict[str, Any]) -> dict[str, Any]:
    """Batches through worker processes."""
    sizes = (len(images) for images, _ in open_clip_loader(request))
    return stream_window.between_marks(sizes, request["first"], request["last"])


def open_clip_first(request: dict[str, Any]) -> dict[str, Any]:
    """It waits until a thousand samples are in its buffer."""
    return {"seconds": stream_window.seconds_to_first(lambda: open_clip_loader(request))}


def open_clip_state(request: dict[str, Any]) -> dict[str, Any]:
    """Whether there is anything to save."""
    return {"state": hasattr(open_clip_loader(request), "state_dict")}


def webdataset_raw(request: dict[str, Any]) -> dict[str, Any]:
    """Shuffled samples, undecoded."""

    def sizes() -> Iterator[int]:
        for sample in _shuffled(request["data"]):
            yield len(sample["jpg"]) > 0 and len(sample["txt"]) > 0

    return stream_window.between_marks(
        stream_window.endless(sizes), request["first"], request["last"]
    )


def webdataset_resume(request: dict[str, Any]) -> dict[str, Any]:
    """Without a state the seen part is read again and thrown away."""
    tokenize, transform = open_clip.get_tokenizer(MODEL), train_transform()
    seen, size = request["samples_seen"], request["batch"]

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        decode: Any = webdataset.autodecode.ImageHandler("pilrgb")
        samples = list(islice(_shuffled(request["data"]), seen, seen + size))
        images = torch.stack([transform(decode("jpg", sample["jpg"])) for sample in samples])
        yield images, tokenize([sample["txt"].decode() for sample in samples])

    return {"seconds": stream_window.seconds_to_first(batches)}


def _shuffled(data: str) -> Any:
    return webdataset.WebDataset(data, shardshuffle=100).shuffle(SHUFFLE)


def wids_raw(request: dict[str, Any]) -> dict[str, Any]:
    """Samples in order, by number, from an index of the shards; undecoded."""
    shards = [
        {"url": path, "nsamples": request["samples_per_shard"]}
        for path in webdataset.shardlists.expand_urls(request["data"])
    ]
    dataset = wids.ShardListDataset(shards, keep=True, transformations=[])  # pyright: ignore[reportArgumentType]  # `None` or a list is read too

    def sizes() -> Iterator[int]:
        for number in range(len(dataset)):
            sample = dataset[number]
            yield len(sample[".jpg"].read()) > 0 and len(sample[".txt"].read()) > 0

    return stream_window.between_marks(
        stream_window.endless(sizes), request["first"], request["last"]
    )


PROGRAMS = {
    "open_clip": open_clip_steady,
    "open_clip-first": open_clip_first,
    "open_clip-state": open_clip_state,
    "webdataset": webdataset_raw,
    "webdataset-resume": webdataset_resume,
    "wids": wids_raw,
}


def main(request: dict[str, Any]) -> None:
    """Do what is asked and write the report."""
    report = partial(stream_window.write_report, request["report"])
    report(PROGRAMS[request["program"]](request))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
