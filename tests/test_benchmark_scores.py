"""What the benchmark of scores writes; the measuring itself is `make bench WHAT=scores`."""

import argparse
from pathlib import Path

import scores
from diagonal_eval.dataset import open_dataset, read_samples
from diagonal_eval.scores.config import ClipConfig, ImageConfig

WHEN = {"machine": "two cores", "date": "2026-11-23", "code_revision": "0123456789abcdef"}


def run(seconds: float, **more: float) -> dict[str, float]:
    return {
        "samples": 100,
        "seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "samples_per_second": 100 / seconds,
        **more,
    }


def test_the_table_has_medians_and_the_verdict() -> None:
    clip = [run(seconds, data_wait_share=seconds / 100) for seconds in (9.0, 4.0, 2.0)]
    runs = {"clip-small": clip, "clip-demo": clip[:1], "image": [run(1.0)]}
    page = scores.as_markdown({**WHEN, "repeat": 3, "runs": runs})
    assert "| clip-small | 100 | 25.0 | 80.0 | 4.0% |" in page
    assert "| image | 100 | 100.0 | 20.0 | – |" in page
    assert "Goal for clip-small, to wait at most 5%: met." in page
    assert "Goal for clip-demo, to wait at most 5%: **not met**." in page


def test_the_corpus_is_a_dataset_and_every_kind_has_its_configuration(
    tmp_path: Path, monkeypatch
) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"picture")
    monkeypatch.setattr(scores.stream_corpus, "ensure_pictures", lambda *_: [picture])
    scores.write_dataset(tmp_path, 5)
    dataset = open_dataset(str(scores.dataset_folder(tmp_path, 5)))
    counts = [len(read_samples(dataset, shard)) for shard in dataset.shards]
    assert counts == [2, 3]
    given = argparse.Namespace(work=tmp_path, samples=5)
    configs = {kind: scores.config_for(kind, given) for kind in scores.KINDS}
    assert isinstance(configs["clip-small"], ClipConfig)
    assert isinstance(configs["image"], ImageConfig)
    assert configs["image"].dataset == dataset.root
