"""What a loader cannot beat, put together by hand on one core; and open_clip's stages likewise.

    python stream_limits.py '{"paths": […], "samples": N, "report": PATH}'    JSON to PATH

    limit    mapped tar → header walk → simplejpeg → box to 224² → uint8 batch; Rust tokenizer → ids
    stages   open_clip_train's own functions one after the other in one thread

No shuffle, no process hop, no check of anything. A JPEG is decoded at the smallest n/8 of its size
that leaves the box at least 224 pixels. CPU ms per sample, the median of passes taken in turn.
"""

import json
import math
import mmap
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
import open_clip
import simplejpeg
import tokenizers
import torch
from open_clip.tokenizer import basic_clean, whitespace_clean
from open_clip_train.data import tarfile_to_samples_nothrow
from PIL import Image
from tokenizers import models, pre_tokenizers, processors
from webdataset.autodecode import ImageHandler

import stream_window
from stream_peers import MODEL, train_transform

SIDE, CONTEXT, BATCH, PASSES = 224, 77, 128, 3
CROP_SCALE, LOG_RATIO, ATTEMPTS = (0.9, 1.0), (math.log(3 / 4), math.log(4 / 3)), 10
BLOCK = 512
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""How open_clip splits a caption before it merges bytes."""
Box = tuple[int, int, int, int]
Resize = Callable[[np.ndarray, Box, np.ndarray], None]


def walk(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Picture and caption of each sample of a tar of KEY.jpg KEY.txt KEY.json."""
    with open(path, "rb") as file:  # noqa: PTH123  # a descriptor is all that is needed
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    place, picture = 0, b""
    while view[place]:
        size = int(view[place + 124 : place + 135], 8)
        name = view[place : place + 100].rstrip(b"\0")
        content = place + BLOCK
        if name.endswith(b".jpg"):
            picture = view[content : content + size]
        elif name.endswith(b".txt"):
            yield picture, view[content : content + size]
        place = content + -(-size // BLOCK) * BLOCK


def random_box(width: int, height: int, dice: random.Random) -> Box:
    """Left, top, right and bottom of a part of the picture, as open_clip draws it."""
    for _ in range(ATTEMPTS):
        area = width * height * dice.uniform(*CROP_SCALE)
        shape = math.exp(dice.uniform(*LOG_RATIO))
        across, down = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if across <= width and down <= height:
            left, top = dice.randint(0, width - across), dice.randint(0, height - down)
            return left, top, left + across, top + down
    side = min(width, height)
    across = min(width, round(side * 4 / 3))
    down = min(height, round(side * 4 / 3))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def decoded(picture: bytes, dice: random.Random) -> tuple[np.ndarray, Box]:
    """Pixels, perhaps at a fraction of the size, and the box in them."""
    height, width = map(int, simplejpeg.decode_jpeg_header(picture)[:2])
    box = random_box(width, height, dice)
    least = SIDE / min(box[2] - box[0], box[3] - box[1])
    pixels = simplejpeg.decode_jpeg(
        picture,
        "RGB",
        min_width=min(width, math.ceil(width * least)),
        min_height=min(height, math.ceil(height * least)),
    )
    x, y = pixels.shape[1] / width, pixels.shape[0] / height
    return pixels, (round(box[0] * x), round(box[1] * y), round(box[2] * x), round(box[3] * y))


def by_pillow(pixels: np.ndarray, box: Box, out_HWC: np.ndarray) -> None:
    """Bicubic with antialias."""
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    out_HWC[:] = np.asarray(image)


def by_torch(pixels: np.ndarray, box: Box, out_HWC: np.ndarray) -> None:
    """Bicubic with antialias, uint8 with the colours innermost."""
    left, top, right, bottom = box
    part_HWC = torch.from_numpy(pixels)[top:bottom, left:right]
    part_BCHW = part_HWC.permute(2, 0, 1)[None]
    small_BCHW = torch.ops.aten._upsample_bicubic2d_aa(part_BCHW, [SIDE, SIDE], False)
    torch.from_numpy(out_HWC).copy_(small_BCHW[0].permute(1, 2, 0))


def by_opencv(pixels: np.ndarray, box: Box, out_HWC: np.ndarray) -> None:
    """Bicubic without antialias: other pixels than open_clip's, for information."""
    left, top, right, bottom = box
    part = pixels[top:bottom, left:right]
    cv2.resize(part, (SIDE, SIDE), dst=out_HWC, interpolation=cv2.INTER_CUBIC)


RESIZES: dict[str, Resize] = {
    "Pillow": by_pillow,
    "torch": by_torch,
    "OpenCV without antialias": by_opencv,
}


def rust_tokenizer() -> tokenizers.Tokenizer:
    """The `tokenizers` library with the vocabulary that open_clip ships."""
    plain = open_clip.SimpleTokenizer()
    model = models.BPE(
        vocab=plain.encoder,
        merges=[(first, second) for first, second in plain.bpe_ranks],
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
    )
    tokenizer = tokenizers.Tokenizer(model)
    split = pre_tokenizers.Split(tokenizers.Regex(WORDS), "removed", invert=True)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    begin, end = "<start_of_text>", "<end_of_text>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        special_tokens=[(begin, plain.sot_token_id), (end, plain.eot_token_id)],
    )
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(length=CONTEXT, pad_id=0, pad_token="!")
    return tokenizer


def cleaned(caption: str) -> str:
    """open_clip's cleaning, which is dear, only where it could change anything."""
    if caption.isascii() and "&" not in caption:
        return " ".join(caption.split()).lower()
    return whitespace_clean(basic_clean(caption)).lower()


def token_ids(tokenizer: tokenizers.Tokenizer, captions: Sequence[bytes]) -> np.ndarray:
    """B×T."""
    words = [cleaned(caption.decode()) for caption in captions]
    return np.asarray([found.ids for found in tokenizer.encode_batch_fast(words)], np.int64)


def run_limit(
    samples: Iterable[tuple[bytes, bytes]], resize: Resize, tokenizer: tokenizers.Tokenizer
) -> None:
    """Every sample into a batch that is overwritten by the next."""
    out_BHWC, dice = np.empty((BATCH, SIDE, SIDE, 3), np.uint8), random.Random(0)
    for batch in _batched(samples):
        for (picture, _), out_HWC in zip(batch, out_BHWC, strict=False):
            resize(*decoded(picture, dice), out_HWC)
        token_ids(tokenizer, [caption for _, caption in batch])


def run_stages(paths: Sequence[str], count: int) -> dict[str, float]:
    """CPU seconds of each of open_clip_train's stages."""
    taken: dict[str, float] = {}
    tokenize, decode = open_clip.get_tokenizer(MODEL), ImageHandler("pilrgb")
    transforms = train_transform().transforms

    def timed(name: str, work: Callable[[], Any]) -> Any:
        before = time.thread_time()
        done = work()
        taken[name] = taken.get(name, 0.0) + time.thread_time() - before
        return done

    samples = tarfile_to_samples_nothrow({"url": path} for path in paths)
    read = 0
    while read < count:
        batch = timed("tar", lambda: list(islice(samples, BATCH)))
        read += len(batch)
        images = timed("decode", lambda b=batch: [decode("jpg", sample["jpg"]) for sample in b])
        for step in transforms:
            name = getattr(step, "__name__", type(step).__name__).strip("_")
            images = timed(name, lambda f=step, i=images: [f(image) for image in i])
        texts = [sample["txt"].decode() for sample in batch]
        ids = timed("tokenizer", lambda t=texts: [tokenize([text])[0] for text in t])
        timed("collate", lambda i=images, t=ids: (torch.stack(i), torch.stack(t)))
    return {name: seconds / read for name, seconds in taken.items()}


def measure_limits(paths: Sequence[str], count: int) -> dict[str, Any]:
    """CPU ms per sample: `limit` by resize, `stages` by stage."""
    tokenizer = rust_tokenizer()
    captions = [caption for path in paths for _, caption in walk(path)]
    expected = open_clip.get_tokenizer(MODEL)([caption.decode() for caption in captions])
    ids = token_ids(tokenizer, captions)
    if not np.array_equal(ids, expected.numpy()):
        raise ValueError("the hand-made tokenizer differs from open_clip's; its limit is none")
    limit, stages = {name: [] for name in RESIZES}, []
    for _ in range(PASSES):
        for name, resize in RESIZES.items():
            samples = islice((sample for path in paths for sample in walk(path)), count)
            before = time.process_time()
            run_limit(samples, resize, tokenizer)
            limit[name].append((time.process_time() - before) / count)
        stages.append(run_stages(paths, count))
    return {
        "limit": {name: _milliseconds(taken) for name, taken in limit.items()},
        "stages": {name: _milliseconds([one[name] for one in stages]) for name in stages[0]},
        "mean_tokens": round(float((ids > 0).sum(1).mean()), 1),
    }


def _milliseconds(seconds: Sequence[float]) -> float:
    return round(1e3 * statistics.median(seconds), 4)


def _batched(samples: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    rest = iter(samples)
    while batch := list(islice(rest, BATCH)):
        yield batch


def main(request: dict[str, Any]) -> None:
    """Measure on the first core this process may use."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = measure_limits(request["paths"], request["samples"])
    stream_window.write_report(request["report"], found)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
