"""The tiny dataset, searched with the model that sees colours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import fsspec
import numpy as np
import pytest

from diagonal_eval.dataset import open_dataset, read_samples
from diagonal_eval.embed import Encoder, read_embeddings
from diagonal_eval.search.config import SearchConfig


@pytest.fixture
def config(tiny_world: Any, use_colour_encoder: Callable[[str], None]) -> SearchConfig:
    use_colour_encoder("diagonal_eval.scores.clip")
    use_colour_encoder("diagonal_eval.search.command")
    return SearchConfig(
        texts=("red square",), checkpoint="any", dataset=tiny_world.dataset, batch_size=8
    )


def renamed(encoder: Encoder, name: str) -> Encoder:
    """The same model as if its weights were others."""
    return replace(encoder, name=name, digest=f"{name:0<32}")


def stored(dataset: str, key: str = "image", name: str = "clip") -> tuple[list[str], np.ndarray]:
    """Every uid and its vector, in order."""
    opened = open_dataset(dataset)
    uids = [s.uid for shard in opened.shards for s in read_samples(opened, shard)]
    parts = [
        read_embeddings(f"{dataset}/embeddings/{name}/{shard}.npz")[key] for shard in opened.shards
    ]
    return uids, np.concatenate(parts).astype(np.float32)


def change_arrays(
    dataset: str, shard: str, change: Callable[[dict[str, np.ndarray]], Any], name: str = "clip"
) -> None:
    """Rewrite a shard's embeddings."""
    path = f"{dataset}/embeddings/{name}/{shard}.npz"
    arrays = read_embeddings(path)
    change(arrays)
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]  # as in diagonal_eval.embed


def unit(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Random rows of length 1 around a few centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((20, width))
    drawn = centres[rng.integers(0, 20, rows)] + 0.4 * rng.standard_normal((rows, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def memory_copy() -> Iterator[Callable[[str], str]]:
    """A function that copies a folder to fsspec's file system in memory."""
    files = fsspec.filesystem("memory")

    def copy(folder: str) -> str:
        files.put(f"{folder}/", "/copy", recursive=True)
        return "memory://copy"

    yield copy
    if files.exists("/copy"):
        files.rm("/copy", recursive=True)
