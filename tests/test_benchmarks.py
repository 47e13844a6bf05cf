"""What the benchmark of the scraper computes and writes; the measuring itself is `make bench`."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

import fetch_corpus
import fetch_servers
import fetch_slow
import fetch_table
import fetch_web
import machine
import measure
from diagonal_infra.errors import DiagonalError

ROOT = Path(__file__).parent.parent
PROGRAM = {
    "cpu_ms_excluded": 10.0,
    "cpu_ms_included": 20.0,
    "max_rss_mb": 900,
    "max_pss_mb": 700,
    "kept_per_second_included": 10.0,
    "kept_per_second_excluded": 12.0,
}
OURS = {name: value / 2 for name, value in PROGRAM.items()} | {"kept_per_second_included": 25.0}
CORPUS = {
    "images": 4000,
    "shares": {"jpeg": 0.8, "png": 0.12, "webp": 0.08},
    "progressive_share_of_jpeg": 0.3,
    "median_width": 804,
    "median_height": 701.5,
    "median_kilobytes": 119,
    "mean_kilobytes": 290,
    "mean_megapixels": 0.8,
}
WHEN = {"date": "2026-11-23", "code_revision": "0123456789abcdef"}
BASE = {
    "images": 4000,
    "small": 200,
    "repeats": 3,
    "settings": {"workers": 2, "min_side": None},
    "programs": {"img2dataset": PROGRAM, "diagonal": OURS, "diagonal-local": OURS},
    "corpus": CORPUS,
    **WHEN,
}
LIMITS = {
    "images": 800,
    "cpu_ms": {
        "diagonal decode_image": {"all": 4.5},
        "img2dataset Resizer": {"all": 9.0},
        "cv2 reduced decode": {"all": 5.0},
        "PIL draft": {"all": 6.0},
    },
    **WHEN,
}


def page(**rows: object) -> str:
    result = {"machine": "a machine", "versions": {"python": "3.11"}, "rows": rows}
    return fetch_table.as_markdown(result)


def line_of(text: str, measure: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {measure}"))


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("Intel(R) Xeon(R) Processor", "intel-xeon"),
        ("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz", "intel-xeon-platinum-8488c"),
        ("AMD EPYC 7B13", "amd-epyc-7b13"),
        ("", "unknown"),
    ],
)
def test_the_processor_names_the_result_file(model: str, slug: str) -> None:
    assert machine.cpu_slug(model) == slug


def test_the_table_says_which_goals_are_met() -> None:
    text = page(base=BASE, limits=LIMITS)
    excluded = line_of(text, "CPU ms per image, start-up excluded")
    assert excluded == (
        "| CPU ms per image, start-up excluded | 10.00 | 5.00 | 0.50 | ≤ 0.55 of the peer | met |"
    )
    assert line_of(text, "CPU ms per image, start-up included").endswith("| **not met** |")
    assert "| 1.00× |" in line_of(text, "CPU over the stock limit")
    assert "(cv2 reduced decode)" in text


def test_rows_that_were_not_measured_have_no_lines() -> None:
    assert "over the stock limit" not in page(limits=LIMITS)
    assert "Slow web" not in page(base=BASE)


def test_the_slow_web_is_judged_against_the_better_peer() -> None:
    weak = PROGRAM | {"kept_per_second_included": 4.0}
    programs = {"img2dataset, 64 threads": weak, "img2dataset, 256 threads": PROGRAM}
    slow = {"images": 100, "hosts": 8, "settings": {}, "programs": programs, **WHEN}
    programs["diagonal"] = OURS
    assert "| 10.0 | 25.0 | 2.50× | ≥ 2× | met |" in page(slow=slow)


def test_a_difference_below_the_noise_meets_no_goal() -> None:
    noise = PROGRAM | {"cpu_ms_excluded": -1.0}
    programs = {"img2dataset": noise, "diagonal": OURS, "diagonal-local": OURS}
    line = line_of(page(base=BASE | {"programs": programs}), "CPU ms per image, start-up excluded")
    assert "below noise" in line
    assert "met" not in line


def test_the_steady_rate_leaves_out_start_and_end() -> None:
    steady = [10 + i / 50 for i in range(100)]
    assert fetch_slow.steady_rate([0.0, *steady, 60.0]) == pytest.approx(50.0)


def test_the_planned_urls_fail_in_their_shares() -> None:
    urls = fetch_web.plan_urls(["a.jpg"] * 10_000, 80, 50, trouble=True)
    shares = [sum(mark in url for url in urls) / 10_000 for mark in ("/hang/", "/gone/", "invalid")]
    assert shares == pytest.approx([0.08, 0.10, 0.03], abs=0.01)
    assert len(set(urls)) == 10_000


def test_the_corpus_grows_and_keeps_what_it_has(tmp_path: Path) -> None:
    first = fetch_corpus.ensure_corpus(tmp_path, 2)
    before = (tmp_path / first[0].name).stat().st_mtime_ns
    grown = fetch_corpus.ensure_corpus(tmp_path, 4)
    assert grown[:2] == first
    assert (tmp_path / first[0].name).stat().st_mtime_ns == before
    for image in grown:
        with Image.open(tmp_path / image.name) as opened:
            assert opened.size == (image.width, image.height)


def test_the_refused_corpus_fails_the_limits(tmp_path: Path) -> None:
    for image in fetch_corpus.ensure_corpus(tmp_path, 6, refused=True):
        short, long = sorted((image.width, image.height))
        assert short < fetch_corpus.MIN_SIDE or long / short > fetch_corpus.MAX_ASPECT


def test_the_cpu_of_grandchildren_that_nobody_waits_for_is_counted(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    script = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-c', {burn!r}]).wait()\n"
    )
    usage = measure.run_measured([sys.executable, "-c", script], tmp_path)
    assert usage.cpu_seconds >= 0.4
    assert usage.max_rss_bytes > 2**20


def test_a_failed_command_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(DiagonalError, match="no such luck"):
        measure.run_measured([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path)


def test_the_slow_web_serves_files_and_counts_its_answers(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    with fetch_servers.slow_web(tmp_path, hosts=2) as server:
        url = f"http://{server.hosts[1]}"
        with urllib.request.urlopen(f"{url}/f/a.jpg?1") as answer:
            assert answer.read() == b"pixels"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/robots.txt")
        assert len(fetch_servers.answer_times(server)) == 1
        assert fetch_servers.answer_times(server) == []


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "benchmarks/fetch.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--only" in done.stdout
