"""What the benchmark of the loader computes and writes; the measuring itself is `make bench`."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import comparison
import stream
import stream_corpus
import stream_rows
import stream_table
import stream_window

ROOT = Path(__file__).parent.parent
WHEN = {"date": "2026-11-23", "code_revision": "0123456789abcdef"}
SET = {"folder": "f", "shards": 1000, "samples_per_shard": 20, "samples": 20_000, "mean_bytes": 3e4}


def program(per_cpu_second: float, rss_mb: int) -> dict[str, float]:
    return {
        "cpu_ms": 1e3 / per_cpu_second,
        "samples_per_cpu_second": per_cpu_second,
        "worker_peak_rss_mb": rss_mb,
        "worker_pss_mb": rss_mb // 2,
    }


def speed(peer: float, ours: float, sizes: tuple[str, ...] = ("256",)) -> dict[str, object]:
    programs = {"open_clip_train": program(peer, 900), "diagonal": program(ours, 250)}
    of_size = {"set": SET, "first": 10, "last": 20, "programs": programs}
    sizes_ = dict.fromkeys(sizes, of_size)
    return {"repeats": 3, "workers": 1, "batch": 128, "sizes": sizes_, **WHEN}


def limits(pillow: float, torch: float) -> dict[str, object]:
    limit = {"Pillow": pillow, "torch": torch, "OpenCV without antialias": 0.1}
    found = {"limit": limit, "stages": {"tar": 0.5, "decode": 1.5}, "mean_tokens": 13.7}
    return {"sizes": {"256": found}, **WHEN}


def page(**rows: object) -> str:
    result = {"machine": "a machine", "versions": {"python": "3.11"}, "rows": rows}
    return stream_table.as_markdown(result)


def line_of(text: str, measure: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {measure}"))


def test_speed_is_judged_by_samples_per_cpu_second() -> None:
    assert line_of(page(speed=speed(200, 900)), "samples per CPU-second, 256") == (
        "| samples per CPU-second, 256 px short side → 224 | 200 | 900 | 4.50× | ≥ 4× | met |"
    )
    assert "**not met**" in line_of(page(speed=speed(200, 700)), "samples per CPU-second, 256")


def test_larger_pictures_have_a_lower_goal() -> None:
    text = page(speed=speed(200, 700, ("256", "512", "1024")))
    judged = [line.endswith("| met |") for line in text.splitlines() if "short side" in line]
    assert judged == [False, True, True]


def test_the_limit_is_the_faster_of_the_antialiased_resizes() -> None:
    line = line_of(page(speed=speed(200, 800), limits=limits(2.0, 1.0)), "CPU over the hand")
    assert line.startswith("| CPU over the hand-assembled limit, 256 px (torch) | 5.00× | 1.25× |")
    assert line.endswith("| met |")
    assert "over the hand" not in page(limits=limits(2.0, 1.0))


def test_memory_is_judged_by_what_a_worker_adds() -> None:
    lines = page(speed=speed(200, 900))
    assert line_of(lines, "memory of a worker").endswith("| 450 | 125 | 0.28 | ≤ 300 MB | met |")


@pytest.mark.parametrize(("ours", "met"), [(1.9, True), (2.1, False)])
def test_the_first_batch_has_a_deadline(ours: float, met: bool) -> None:
    names = [f"diagonal, {case}" for case in ("no index yet", "indexed", "resumed at 50 %")]
    names += ["open_clip_train", "webdataset, resumed at 50 % by skipping"]
    seconds = {name: {"from_the_call": ours, "whole_process": 5.0} for name in names}
    text = page(first={"set": SET, "seconds": seconds, **WHEN})
    lines = [line for line in text.splitlines() if line.startswith("| seconds to the first")]
    assert [line.endswith("| met |") for line in lines] == [met] * 3
    assert "1,000 shards" in lines[0]


def test_raw_delivery_is_compared_with_the_faster_peer() -> None:
    rates = {"webdataset": 4_000, "wids": 40_000, "diagonal": 80_000}
    row = {"set": SET, "samples_per_cpu_second": rates, **WHEN}
    assert "| 2.00× | ≥ 40,000 | met |" in line_of(page(raw=row), "undecoded samples")


def test_one_unequal_resume_is_not_met_and_named() -> None:
    row = {"batches": 12, "distinct": 5, "uids": 5, "peer_has_state": False, **WHEN}
    text = page(resume=row | {"equal": {"1 → 2": True, "2 → 4": False}})
    assert "1 of 2 pairs" in line_of(text, "exact resume")
    assert "**not met**" in line_of(text, "exact resume")
    assert "unequal: 2 → 4" in text


def test_pixels_are_judged_by_difference_and_likeness() -> None:
    figures = {"difference_mean": 1.0, "difference_max": 9, "ssim_mean": 0.995, "ssim_min": 0.98}
    equal = dict.fromkeys(figures, 0) | {"ssim_mean": 1.0, "ssim_min": 1.0}
    names = {"random, fast against pillow": figures, "fixed, pillow against torchvision": equal}
    row = {"samples": 200, "sizes": {"256": names}, **WHEN}
    assert line_of(page(pixels=row), "pixels, 256 px, crop random").endswith("| met |")
    assert line_of(page(pixels=row), "pixels, 256 px, crop fixed").endswith("| equal | met |")
    names["fixed, pillow against torchvision"] = figures
    assert line_of(page(pixels=row), "pixels, 256 px, crop fixed").endswith("| **not met** |")


def test_only_what_lies_between_the_marks_is_counted() -> None:
    read = []

    def sizes() -> Iterator[int]:
        for _ in range(100):
            read.append(10)
            yield 10

    found = stream_window.between_marks(sizes(), 25, 61)
    assert found["samples"] == 40
    assert len(read) == 7
    assert found["workers"] == []


def test_a_loader_that_ends_before_the_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="ended after 30 samples"):
        stream_window.between_marks([10, 10, 10], 5, 50)
    with pytest.raises(ValueError, match="gave nothing"):
        next(stream_window.endless(list))


def test_epochs_follow_each_other() -> None:
    found = stream_window.between_marks(stream_window.endless(lambda: [10, 10]), 10, 60)
    assert found["samples"] == 50


def test_the_set_has_its_shape_and_is_made_once(tmp_path: Path) -> None:
    make = partial(
        stream_corpus.ensure_set,
        tmp_path,
        short_side=256,
        pictures=2,
        shards=2,
        samples_per_shard=2,
    )
    made = make()
    made = make()
    before = [path.stat().st_mtime_ns for path in made.paths]
    assert make() == made
    assert [path.stat().st_mtime_ns for path in made.paths] == before
    assert made.pattern.endswith("/{00000..00001}.tar")
    with tarfile.open(made.paths[1]) as tar:
        names = tar.getnames()
    assert names == [f"{key:09d}.{ending}" for key in (2, 3) for ending in ("jpg", "txt", "json")]


def test_a_caption_follows_from_its_number() -> None:
    captions = [stream_corpus.caption(number) for number in range(200)]
    assert captions == [stream_corpus.caption(number) for number in range(200)]
    assert len(set(captions)) > 100
    assert any(not caption.isascii() for caption in captions)


def test_a_summary_takes_medians_and_the_largest_memory(tmp_path: Path) -> None:
    worker = {"peak_rss_bytes": 100e6, "pss_bytes": 50e6}
    usage = stream_rows.measure.run_measured([sys.executable, "-c", "0"], tmp_path)
    runs = [
        (usage, {"samples": 100, "cpu_seconds": s, "wall_seconds": 1.0, "workers": [w]})
        for s, w in ((0.1, worker), (0.2, worker), (0.4, worker | {"peak_rss_bytes": 200e6}))
    ]
    found = stream_rows._summary(runs, 100)
    assert found["cpu_ms"] == pytest.approx(2.0)
    assert found["samples_per_cpu_second"] == pytest.approx(500)
    assert found["worker_peak_rss_mb"] == 200


def test_quick_figures_do_not_replace_whole_ones(tmp_path: Path) -> None:
    quick = stream.parse(["--quick", "--work", str(tmp_path)])
    assert quick.out.is_relative_to(tmp_path)
    assert quick.repeat == 1
    assert not stream.parse(["--work", str(tmp_path)]).out.is_relative_to(tmp_path)


def test_rows_keep_the_order_of_measuring() -> None:
    assert stream.parse(["--only", "pixels,speed"]).only == ["speed", "pixels"]
    assert comparison.chosen_rows(["a", "b"], "b,a") == ["a", "b"]


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "benchmarks/stream.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout
