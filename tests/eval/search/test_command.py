"""The command line in this process, from words to what stands on stdout and in the page."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.eval.conftest import HOSTILE_CAPTION

from diagonal_eval import retrieval
from diagonal_eval.search.command import main, search
from diagonal_eval.search.config import RETRIEVAL, SearchConfig
from diagonal_eval.search.output import printable
from diagonal_infra.cli import parse_recipe


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["retrieval", *words])
    try:
        retrieval.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def parsed(*words: str) -> Any:
    return parse_recipe(RETRIEVAL, description="", args=list(words))


def test_flags_are_what_the_docs_say() -> None:
    config = parsed(
        *("search", "--checkpoint", "runs/a", "--dataset", "D", "red apple", "--top", "20"),
        *("--not", "a logo", "a drawing", "--to", "captions", "--index", "hnsw"),
    )
    assert config.texts == ("red apple",)
    assert (config.top, config.to, config.index) == (20, "captions", "hnsw")
    assert config.unwanted == ("a logo", "a drawing")
    exported = parsed("export", "--dataset", "D", "--name", "mine", "--output", "out/v")
    assert (exported.name, exported.format) == ("mine", "parquet")


@pytest.mark.parametrize(
    "words",
    [
        ("--top", "0"),
        ("--unique", "1.5"),
        ("--name", "a/b"),
        ("--unwanted-weight", "0"),
        ("--index", "tree"),
        ("--batch-size", "0"),
    ],
)
def test_values_that_mean_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, str]
) -> None:
    assert run(monkeypatch, "search", "red", *words) == 2


def test_json_has_the_hits_with_what_leads_to_the_sample(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--dataset", config.dataset, "--top", "3", "--format", "json")
    assert run(monkeypatch, "search", "red square", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["question"] == {"texts": ["red square"], "image": "", "not": []}
    hits = search(replace(config, top=3))
    assert [each["uid"] for each in found["hits"]] == [hit.row["uid"] for hit in hits]
    assert [each["rank"] for each in found["hits"]] == [1, 2, 3]
    assert set(found["hits"][0]) == {"rank", "cosine", "uid", "url", "caption", "shard", "key"}


def test_csv_keeps_captions_whole(config: SearchConfig, capsys: pytest.CaptureFixture[str]) -> None:
    main(replace(config, top=1000, format="csv"))
    written = capsys.readouterr().out
    assert written.endswith("\n")
    lines = list(csv.DictReader(io.StringIO(written)))
    assert HOSTILE_CAPTION in {line["caption"] for line in lines}
    assert {len(line) for line in lines} == {7}


def test_the_table_shows_captions_as_text(
    config: SearchConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    main(replace(config, texts=("red [bold]square",), top=1000))
    shown = re.sub(r"\s", "", capsys.readouterr().out)
    assert "<script>" in shown
    assert "“red[bold]square”" in shown


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\x07 ça 猫") == "a [2Jb c  ça 猫"


def test_the_page_has_the_pictures_and_escapes_what_strangers_wrote(
    config: SearchConfig, tmp_path: Path
) -> None:
    page_path = tmp_path / "hits.html"
    main(replace(config, texts=("<b>red square",), top=1000, html=str(page_path)))
    page = page_path.read_text()
    hits = search(replace(config, texts=("<b>red square",), top=1000))
    assert page.count('src="data:image/jpeg;base64,') == len(hits)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "“&lt;b&gt;red square”" in page
    assert not re.search(r'(?:src|href)="https?:', page)


def test_a_picture_that_cannot_be_read_leaves_a_note_in_the_page(
    config: SearchConfig, tmp_path: Path
) -> None:
    page_path = tmp_path / "hits.html"
    search(config)
    tar = Path(config.dataset, "shards/00000001.tar")
    tar.write_bytes(bytes(tar.stat().st_size))
    main(replace(config, top=1000, html=str(page_path)))
    page = page_path.read_text()
    assert page.count("picture cannot be read") == page.count("00000001/")
    assert "data:image/jpeg" in page


def test_export_says_how_many(
    config: SearchConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_world: Any,
) -> None:
    search(config)
    words = ("--dataset", config.dataset, "--output", str(tmp_path / "vectors"))
    assert run(monkeypatch, "export", *words) == 0
    assert f"{tiny_world.num_samples} samples in" in capsys.readouterr().out


def test_a_real_run_searches_end_to_end(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_run: str,
    tiny_world: Any,
) -> None:
    words = ("--checkpoint", tiny_run, "--dataset", tiny_world.dataset, "--format", "json")
    assert run(monkeypatch, "search", "a red square", *words, "--top", "5") == 0
    cosines = [hit["cosine"] for hit in json.loads(capsys.readouterr().out)["hits"]]
    assert len(cosines) == 5
    assert cosines == sorted(cosines, reverse=True)
