"""Our numbers are those of CLIP_benchmark, which runs on an older numpy in front of the others."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.suite.config import SuiteConfig
from diagonal_eval.suite.run import evaluate
from diagonal_train.distributed import World

PEER = Path(__file__).with_name("clip_benchmark_peer.py")
CLASSES = ("cat", "dog", "a very old tree", "car", "teapot", "São Paulo", "moon")
TEMPLATES = ("a photo of a {c}.", "a drawing of the {c} in winter", "{c}")
NUM_PICTURES = 40
MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def pictures() -> list[tuple[str, bytes]]:
    """JPEG and PNG of several shapes, grey and coloured."""
    dice, found = np.random.default_rng(0), []
    for number in range(NUM_PICTURES):
        coarse = dice.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        size = (int(dice.integers(30, 90)), int(dice.integers(30, 90)))
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        if number % 7 == 0:
            image = image.convert("L")
        suffix, kind = ("png", "PNG") if number % 3 == 0 else ("jpg", "JPEG")
        buffer = io.BytesIO()
        image.save(buffer, kind)
        found.append((suffix, buffer.getvalue()))
    return found


def write_set(folder: Path, truths: list[tuple[str, bytes]], **texts: str) -> str:
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "nshards.txt").write_text("2")
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    members = list(zip(pictures(), truths, strict=True))
    for shard in range(2):
        with tarfile.open(folder / "test" / f"{shard}.tar", "w") as tar:
            for number in range(shard, NUM_PICTURES, 2):
                for suffix, content in members[number]:
                    entry = tarfile.TarInfo(f"s{number:04d}.{suffix}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    return str(folder)


def several(number: int) -> bytes:
    labels = np.zeros(len(CLASSES), np.int64)
    labels[[number % 7, number % 3]] = 1
    buffer = io.BytesIO()
    np.save(buffer, labels)
    return buffer.getvalue()


@pytest.fixture(name="peer_path")
def peer_path_fixture() -> Path:
    """Beside the packages of this environment; `make test` puts it there."""
    path = Path(sys.prefix) / "peer"
    assert path.is_dir(), "no older numpy for CLIP_benchmark; run 'make test', or make .venv/peer"
    return path


def test_numbers_are_those_of_clip_benchmark(tmp_path: Path, peer_path: Path) -> None:
    config = tmp_path / "tiny-parity.json"
    config.write_text(json.dumps(MODEL))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    clip = open_clip.create_model("tiny-parity", load_weights=False)
    weights = tmp_path / "weights.pt"
    torch.save(clip.state_dict(), weights)
    named = {
        "classnames": "\n".join(CLASSES),
        "zeroshot_classification_templates": "\n".join(TEMPLATES),
    }
    numbers = range(NUM_PICTURES)
    folders = [
        write_set(tmp_path / "one", [("cls", str(n % 7).encode()) for n in numbers], **named),
        write_set(
            tmp_path / "many",
            [("npy", several(n)) for n in numbers],
            dataset_type="multilabel",
            **named,
        ),
        write_set(
            tmp_path / "captions",
            [("txt", "\n".join(f"no {n} of {i}" for i in range(5)).encode()) for n in numbers],
            dataset_type="retrieval",
        ),
    ]
    command = [sys.executable, "-W", "ignore", str(PEER), str(config), str(weights), *folders]
    environment = {**os.environ, "PYTHONPATH": str(peer_path)}
    peer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert peer.returncode == 0, peer.stderr
    theirs: dict[str, Any] = json.loads(peer.stdout.splitlines()[-1])
    ours = evaluate(
        SuiteConfig(
            checkpoint=f"open_clip:tiny-parity:{weights}",
            tasks=tuple(f"wds:{folder}" for folder in folders),
            output=str(tmp_path / "ours"),
            sets=SetsConfig(cache=str(tmp_path / "cache")),
        ),
        World(),
    )["tasks"]
    one, many, captions = (ours[f"wds:{folder}"]["metrics"] for folder in folders)
    for name in ("acc1", "acc5", "mean_per_class_recall"):
        assert one[name] == pytest.approx(theirs["one"][name], abs=1e-6), name
    assert many["map"] == pytest.approx(theirs["many"]["mean_average_precision"], abs=1e-6)
    assert set(captions) == set(theirs["captions"])
    for name, value in theirs["captions"].items():
        assert captions[name] == pytest.approx(value, abs=1e-6), name
    assert 0 < one["acc1"] < 1, "the test would not see a difference"
