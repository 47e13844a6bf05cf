"""A dataset of plain coloured squares, and a model that sees colours and knows their names."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from torch import Tensor, nn

from diagonal_data.filters.keep_list import write_keep_list
from diagonal_data.schema import ROW_SCHEMA, uid_for
from diagonal_data.tar import Sample, TarWriter
from diagonal_eval.embed import Encoder, build_encoder
from diagonal_infra.run_dir import resolved
from diagonal_train import checkpoint, recipes
from diagonal_train.distributed import World
from diagonal_train.encoders.models import DualEncoder, build_model
from diagonal_train.state import TrainState

COLOURS = {
    "red square": (250, 20, 20),
    "green square": (20, 230, 20),
    "blue square": (20, 20, 250),
    "yellow square": (240, 240, 20),
    "cyan square": (20, 230, 230),
    "magenta square": (230, 20, 230),
    "dark square": (30, 30, 60),
    "orange square": (250, 140, 20),
}
UNSEEN = ("dark square", "orange square")
TRAIN_STYLES = ("noto", "twemoji")
HELD_OUT_STYLES = ("fluent-emoji-flat", "openmoji")
SHADES = {"noto": 0, "twemoji": 4, "fluent-emoji-flat": -6, "openmoji": 8}
HOSTILE_CAPTION = "<script>alert(1)</script> & \"quoted\" 'square'"
IMAGE_SIZE = 16
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "DIAGONAL_NEEDS_CHROMIUM"
"""Set where a missing browser is a failure, as .ci/run does."""


@dataclass(frozen=True, kw_only=True)
class TinyWorld:
    """Where the tiny dataset and its ground truth lie."""

    dataset: str
    labels: str
    num_samples: int
    num_candidates: int


class ColourModel(nn.Module):
    """Mean colour of a picture, and the colour three tokens spell, through one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3, 8, bias=False)
        nn.init.orthogonal_(self.project.weight, generator=torch.Generator().manual_seed(0))

    def encode_image(self, images_BCHW: Tensor) -> Tensor:
        return self.project(images_BCHW.mean(dim=(2, 3)))

    def encode_pooled(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        colours_B3 = images_BCHW.mean(dim=(2, 3))
        return colours_B3, self.project(colours_B3)

    def encode_text(self, tokens_BT: Tensor) -> Tensor:
        return self.project(tokens_BT.float() / 255 - 0.5)


def colour_tokens(texts: list[str]) -> Tensor:
    """RGB of the colour that a text names; of any other text a colour made from its letters."""
    return torch.tensor([_colour_of(text) for text in texts])


def _colour_of(text: str) -> tuple[int, ...]:
    known = [colour for name, colour in COLOURS.items() if name in text]
    return known[0] if known else tuple(hashlib.sha256(text.encode()).digest()[:3])


def jpeg(colour: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture(name="colour_encoder")
def colour_encoder_fixture() -> Encoder:
    return colour_encoder()


def colour_encoder() -> Encoder:
    """An encoder of `ColourModel`."""
    return build_encoder(
        ColourModel().eval(),
        name="colours",
        tokenizer=colour_tokens,
        image_size=IMAGE_SIZE,
        mean=(0.5, 0.5, 0.5),
        std=(1.0, 1.0, 1.0),
        step=7,
        device=torch.device("cpu"),
    )


@pytest.fixture
def use_colour_encoder(
    monkeypatch: pytest.MonkeyPatch, colour_encoder: Encoder
) -> Callable[[str], None]:
    """Make a module's `load_encoder` give the colour encoder for any path."""

    def replace(module: str) -> None:
        monkeypatch.setattr(f"{module}.load_encoder", lambda *_, **__: colour_encoder)

    return replace


@pytest.fixture
def tiny_world(tmp_path: Path) -> TinyWorld:
    root = tmp_path / "dataset"
    rows = _rows()
    shards = [
        _write_shard(root, f"{index:08d}", part)
        for index, part in enumerate((rows[:20], rows[20:]))
    ]
    (root / "manifest.json").write_text(json.dumps({"shards": shards}))
    stored = [row for row in rows if row["status"] == "success"]
    held_out = {label["url"] for label in _labels() if label["held_out_style"]}
    held_out |= {label["url"] for label in _labels() if label["held_out_concept"]}
    kept = [row["uid"] for row in stored if row["url"] not in held_out]
    folder = root / "filters" / "demo"
    write_keep_list(str(folder / "keep.npy"), kept)
    num_failed = len(rows) - len(stored)
    reasons = {"held_out": len(stored) - len(kept), "timed_out": num_failed}
    funnel = {"input": len(rows), "kept": len(kept), "reasons": reasons}
    (folder / "funnel.json").write_text(json.dumps(funnel))
    labels = tmp_path / "labels.parquet"
    pq.write_table(pa.Table.from_pylist(_labels()), labels)
    return TinyWorld(
        dataset=str(root),
        labels=str(labels),
        num_samples=len(stored),
        num_candidates=len(rows),
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run folder with initial weights and one trained step, as the trainer leaves it."""
    run = tmp_path_factory.mktemp("run")
    config = dataclasses.replace(recipes.tiny(), data="nowhere")
    (run / "config.json").write_text(json.dumps({"config": resolved(config)}))
    lines = [
        {"step": s, "samples_seen": 16 * s, "loss": 3 - s / 10, "lr": 1e-3} for s in range(1, 9)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    torch.manual_seed(0)
    model = build_model(config.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    _save(str(run), model, optimizer, step=0)
    images_BCHW = torch.rand(4, 3, config.model.image_size, config.model.image_size)
    tokens_BT = torch.ones(4, config.model.text.context_length, dtype=torch.int64)
    image_BD, text_BD, scale = model(images_BCHW, tokens_BT)
    (scale * (image_BD * text_BD).sum()).backward()
    optimizer.step()
    _save(str(run), model, optimizer, step=8)
    return str(run)


@pytest.fixture
def trained_on(tiny_run: str, tiny_world: TinyWorld, tmp_path: Path) -> Callable[[str | None], str]:
    """A function that copies `tiny_run` as trained on the tiny dataset with a filter."""

    def copy(name: str | None) -> str:
        run = shutil.copytree(tiny_run, tmp_path / f"run-{name}")
        record = json.loads((run / "config.json").read_text())
        record["config"] |= {"data": tiny_world.dataset, "filter": name}
        (run / "config.json").write_text(json.dumps(record))
        return str(run)

    return copy


def _save(run: str, model: DualEncoder, optimizer: torch.optim.Optimizer, *, step: int) -> None:
    world = World(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
    checkpoint.save(
        run,
        world,
        state=TrainState(model=model, optimizer=optimizer),
        step=step,
        samples_seen=16 * step,
        data_digest="tiny",
    )


def _labels() -> list[dict]:
    return [
        {
            "url": f"http://127.0.0.1/{style}/{hexcode}.png",
            "style": style,
            "hexcode": str(hexcode),
            "label": label,
            "keywords": ["square"],
            "group": "shapes",
            "licence": "CC0",
            "held_out_style": style in HELD_OUT_STYLES,
            "held_out_concept": label in UNSEEN,
        }
        for style in (*TRAIN_STYLES, *HELD_OUT_STYLES)
        for hexcode, label in enumerate(COLOURS)
    ]


def _rows() -> list[dict]:
    """A row per label, a copy of each openmoji drawing, a hostile caption and two failures."""
    pairs = [(label, f"a {label}") for label in _labels()]
    pairs += [(label, f"copy of a {label['label']}") for label in _labels()[-8:]]
    pairs.append((_labels()[0], HOSTILE_CAPTION))
    rows = [_row(label["url"], caption, label) for label, caption in pairs]
    for number in range(2):
        rows.insert(5, _row(f"http://127.0.0.1/gone/{number}.png", f"gone <b>{number}</b>", None))
    return rows


def _row(url: str, caption: str, label: dict | None) -> dict:
    row: dict = dict.fromkeys(ROW_SCHEMA.names)
    row |= {"uid": uid_for(url, caption), "url": url, "caption": caption, "status": "success"}
    if label is None:
        return row | {"status": "failed", "reason": "timed_out", "detail": "no <answer>"}
    shade = SHADES[label["style"]]
    colour = np.clip(np.array(COLOURS[label["label"]]) + shade, 0, 255)
    return row | {"image": jpeg(tuple(int(value) for value in colour))}


def _write_shard(root: Path, name: str, rows: list[dict]) -> dict:
    shards = root / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    tar = shards / f"{name}.tar"
    with tar.open("wb") as file:
        writer = TarWriter(file)
        for number, row in enumerate(rows):
            image = row.pop("image", None)
            if image is not None:
                key = f"{number:09d}"
                members = {"jpg": image, "txt": row["caption"].encode(), "json": b"{}"}
                extent = writer.add(Sample(key=key, members=members))
                row |= {"key": key, "tar_offset": extent.offset, "tar_bytes": extent.length}
        writer.close()
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), shards / f"{name}.parquet")
    content = tar.read_bytes()
    return {
        "name": name,
        "samples": sum(row["status"] == "success" for row in rows),
        "candidates": len(rows),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        stop = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        stop(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
