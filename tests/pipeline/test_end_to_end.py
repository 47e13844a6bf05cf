"""The whole way on a tiny web: pages, shards, filter, training, evaluation, in one process."""

import contextlib
import json
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
import webdataset
from open_clip_train.data import get_wds_dataset
from torchvision.transforms import ToTensor

from diagonal_data.candidates.build import build
from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.config import DecodeConfig, ShardsConfig
from diagonal_data.demo.server import serving
from diagonal_data.demo.site import ensure_site
from diagonal_data.demo.web import ADDRESSES, hosts_at
from diagonal_data.fetch_config import FetchConfig
from diagonal_data.filters.__main__ import write_filter
from diagonal_data.filters.config import Duplicates, FiltersConfig, HoldOut
from diagonal_data.filters.keep_list import pack_uids, read_keep_list
from diagonal_data.rows import read_rows
from diagonal_data.shards import build_dataset
from diagonal_eval import __main__ as evaluation
from diagonal_eval.recipes import demo as demo_evaluation
from diagonal_train.config.checkpoint import CheckpointConfig
from diagonal_train.distributed import World
from diagonal_train.loop import train
from diagonal_train.recipes import tiny


def free_port() -> int:
    """A port that is free on every address of the demo's web."""
    for _ in range(100):
        with contextlib.ExitStack() as held:
            probes = [held.enter_context(socket.socket()) for _ in ADDRESSES]
            probes[0].bind((ADDRESSES[0], 0))
            port = probes[0].getsockname()[1]
            try:
                for probe, address in zip(probes[1:], ADDRESSES[1:], strict=True):
                    probe.bind((address, port))
            except OSError:
                continue
            return port
    raise OSError("no port is free on all addresses")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Path:
    """A folder with web, candidates, dataset and filter of 12 concepts in 8 styles."""
    root = tmp_path_factory.mktemp("demo")
    port = free_port()
    hosts = hosts_at(port)
    ensure_site(str(root / "web"), str(package_cache), port=port)
    fetch = FetchConfig(timeout_seconds=5.0)
    with serving(str(root / "web")):
        build(
            CandidatesConfig(
                reader="site",
                output=str(root / "candidates"),
                input=tuple(f"http://{host}/" for host in hosts),
                allow_hosts=tuple(hosts),
                fetch=fetch,
            )
        )
        build_dataset(
            ShardsConfig(
                candidates=str(root / "candidates"),
                dataset=str(root / "dataset"),
                image_size=48,
                samples_per_shard=40,
                local=True,
                allow_hosts=tuple(hosts),
                fetch=fetch,
                decode=DecodeConfig(resize_mode="border", only_if_bigger=False),
            )
        )
    write_filter(
        FiltersConfig(
            dataset=str(root / "dataset"),
            name="demo",
            duplicates=Duplicates(max_hamming=-1),
            hold_out=HoldOut(
                list=str(root / "web" / "labels.parquet"),
                columns=("held_out_style", "held_out_concept"),
            ),
        )
    )
    return root


def test_every_fault_of_the_web_ends_as_a_counted_reason(dataset: Path) -> None:
    funnel = json.loads((dataset / "dataset/filters/demo/funnel.json").read_text())
    assert funnel["input"] == funnel["kept"] + sum(funnel["reasons"].values())
    expected = {
        "not_found",
        "http_server_error",
        "not_an_image",
        "opted_out",
        "robots_disallowed",
        "too_many_redirects",
        "truncated_image",
        "held_out",
    }
    assert expected <= funnel["reasons"].keys()


def test_no_held_out_drawing_is_kept(dataset: Path) -> None:
    labels = pq.read_table(dataset / "web" / "labels.parquet").to_pylist()
    held_out = {
        label["url"] for label in labels if label["held_out_style"] or label["held_out_concept"]
    }
    kept = {tuple(uid) for uid in read_keep_list(str(dataset / "dataset"), "demo").tolist()}
    rows = read_rows(str(dataset / "dataset"), ["uid", "url"]).to_pylist()
    kept_urls = {r["url"] for r in rows if tuple(pack_uids([r["uid"]])[0].tolist()) in kept}
    assert kept_urls
    assert not kept_urls & held_out


def test_training_learns_shapes_and_colours_of_styles_it_never_saw(dataset: Path) -> None:
    recipe = tiny()
    config = replace(
        recipe,
        data=str(dataset / "dataset"),
        run=str(dataset / "run"),
        samples_seen=3_200,
        checkpoint=CheckpointConfig(every_steps=100),
        log_every_steps=20,
        augment=replace(recipe.augment, colour=0.0),
    )
    result = train(config, World())
    assert result.finished
    evaluation.main(
        replace(
            demo_evaluation(),
            checkpoint=str(dataset / "run"),
            output=str(dataset / "eval"),
            data=str(dataset / "dataset"),
            labels=str(dataset / "web" / "labels.parquet"),
            matrix_pairs=8,
        )
    )
    results = json.loads((dataset / "eval" / "results.json").read_text())
    for style in ("openmoji", "fluent-emoji-flat"):
        measured = results["zeroshot"][style]
        assert measured["ci95"][0] > measured["chance"], (style, measured)
    assert (dataset / "eval" / "report.html").stat().st_size > 10_000


def shards_pattern(dataset: Path) -> str:
    """The finished shards as a brace pattern, as open_clip's users write it."""
    last = len(list((dataset / "dataset" / "shards").glob("*.tar"))) - 1
    return f"{dataset}/dataset/shards/{{00000000..{last:08d}}}.tar"


# Both readers leave their tar files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_our_shards_as_they_are(dataset: Path) -> None:
    rows = read_rows(str(dataset / "dataset"), ["key", "caption", "status"]).to_pylist()
    stored = {row["key"]: row["caption"] for row in rows if row["status"] == "success"}
    read = webdataset.WebDataset(shards_pattern(dataset), shardshuffle=False)
    assert {s["__key__"]: s["txt"].decode() for s in read} == stored


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_open_clips_trainer_reads_our_shards_as_they_are(dataset: Path) -> None:
    rows = read_rows(str(dataset / "dataset"), ["caption", "status"]).to_pylist()
    stored = [row["caption"] for row in rows if row["status"] == "success"]
    args = SimpleNamespace(
        train_data=shards_pattern(dataset),
        train_num_samples=len(stored),
        train_data_upsampling_factors=None,
        batch_size=8,
        world_size=1,
        workers=0,
        seed=0,
    )
    captions: list[str] = []

    def tokenizer(text: str) -> torch.Tensor:
        captions.append(text)
        return torch.zeros(1, 4, dtype=torch.long)

    data = get_wds_dataset(args, ToTensor(), is_train=True, tokenizer=tokenizer)
    images, tokens = next(iter(data.dataloader))
    assert images.shape == (8, 3, 48, 48)
    assert tokens.shape == (8, 4)
    assert set(captions) <= set(stored)
