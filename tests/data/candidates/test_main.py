import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from diagonal_data.candidates import __main__ as candidates
from diagonal_data.candidates.config import CandidatesConfig
from diagonal_data.schema import CANDIDATE_SCHEMA
from diagonal_infra import run_dir
from diagonal_infra.errors import DiagonalError, UserError

if TYPE_CHECKING:
    from tests.hostile_server import HostileServer

ROWS = 5


@pytest.fixture
def config(tmp_path: Path) -> CandidatesConfig:
    """Five candidates, one duplicate, one row without URL, one empty caption."""
    rows = [f"http://x.test/{i}.jpg\tfox {i}" for i in range(ROWS)]
    rows += ["http://X.test:80/0.jpg\tfox 0", "\tfox", "http://x.test/a.jpg\t "]
    (tmp_path / "list.tsv").write_text("\n".join(["url\tcaption", *rows]))
    output = str(tmp_path / "out")
    return CandidatesConfig(input=str(tmp_path / "list.tsv"), output=output, rows_per_part=2)


def files(config: CandidatesConfig) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(config.output).iterdir())}


def captions(config: CandidatesConfig) -> list[str]:
    parts = sorted(Path(config.output).glob("part-*.parquet"))
    return [caption for part in parts for caption in pq.read_table(part)["caption"].to_pylist()]


def counts(config: CandidatesConfig) -> dict[str, object]:
    return json.loads(Path(config.output, "summary.json").read_text())["counts"]


def test_parts_and_summary_of_a_list(
    config: CandidatesConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates.main(config)
    names = ["config.json", *(f"part-{i:05d}.parquet" for i in range(3)), "summary.json"]
    assert list(files(config)) == names
    assert captions(config) == [f"fox {i}" for i in range(ROWS)]
    schema = pq.read_schema(Path(config.output, "part-00000.parquet"))
    assert schema.equals(CANDIDATE_SCHEMA)
    assert counts(config) == {
        "candidates": ROWS,
        "duplicates": 1,
        "empty_captions": 1,
        "rows_without_url": 1,
        "pages": {},
    }
    summary = json.loads(Path(config.output, "summary.json").read_text())
    assert summary["config"] == run_dir.resolved(config)
    (read,) = summary["inputs"]
    assert (read["path"], read["size"]) == (config.input, Path(config.input or "").stat().st_size)
    assert "rows without url" in capsys.readouterr().out


def test_running_again_changes_nothing_and_says_so(
    config: CandidatesConfig, caplog: pytest.LogCaptureFixture
) -> None:
    candidates.main(config)
    before = files(config)
    with caplog.at_level(logging.INFO):
        candidates.main(config)
        assert "are gone" not in caplog.text
        Path(config.input or "").unlink()
        candidates.main(config)
    assert files(config) == before
    assert caplog.text.count("is finished; nothing to do") == 2
    assert "the lists of" in caplog.text
    assert "are gone" in caplog.text


def write_shorter_list(config: CandidatesConfig) -> None:
    Path(config.input or "").write_text("url\tcaption\nhttp://x.test/9.jpg\tfox 9\n")


def test_a_list_that_changed_is_read_again(
    config: CandidatesConfig, caplog: pytest.LogCaptureFixture
) -> None:
    candidates.main(config)
    write_shorter_list(config)
    candidates.main(config)
    assert "have changed and are read again" in caplog.text
    assert captions(config) == ["fox 9"]
    assert list(files(config)) == ["config.json", "part-00000.parquet", "summary.json"]


def test_a_list_that_joins_the_others_is_read(config: CandidatesConfig) -> None:
    config = replace(config, input=str(Path(config.input or "").with_name("*.tsv")))
    candidates.main(config)
    Path(config.input or "").with_name("more.tsv").write_text("fox 9\thttp://x.test/9.jpg\n")
    candidates.main(config)
    assert captions(config) == [*(f"fox {i}" for i in range(ROWS)), "fox 9"]


def test_a_kill_while_a_changed_list_is_read_leaves_no_finished_folder(
    config: CandidatesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.main(config)
    write_shorter_list(config)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(candidates.run_dir, "write_config", fail)
        with pytest.raises(KeyboardInterrupt):
            candidates.main(config)
    assert "summary.json" not in files(config)
    candidates.main(config)
    assert captions(config) == ["fox 9"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("link\tcaption\nx\ty\n", "z.tsv has the columns link, caption"),
        (None, "no file matches"),
    ],
)
def test_a_mistake_in_the_last_list_is_found_before_anything_is_written(
    config: CandidatesConfig, content: str | None, message: str
) -> None:
    last = Path(config.input or "").with_name("z.tsv")
    if content is not None:
        last.write_text(content)
    config = replace(config, input=str(last.with_name("{list,z}.tsv")))
    with pytest.raises(UserError, match=message):
        candidates.main(config)
    assert not Path(config.output).exists()


def test_lists_without_rows_leave_nothing_behind(config: CandidatesConfig) -> None:
    Path(config.input or "").write_text("url\tcaption\n")
    with pytest.raises(UserError, match="no rows in"):
        candidates.main(config)
    assert not Path(config.output).exists()


def test_another_configuration_does_not_touch_a_finished_folder(config: CandidatesConfig) -> None:
    candidates.main(config)
    before = files(config)
    with pytest.raises(UserError, match="choose another --output or delete it"):
        candidates.main(replace(config, rows_per_part=3))
    assert files(config) == before


def test_the_leftovers_of_a_killed_run_are_overwritten(config: CandidatesConfig) -> None:
    candidates.main(config)
    whole = files(config)
    folder = Path(config.output)
    (folder / "summary.json").unlink()
    (folder / "part-00001.parquet").write_bytes(b"of another list")
    (folder / "part-00007.parquet").write_bytes(b"of a longer run")
    (folder / "part-00002.parquet.partial-0a1b2c3d").write_bytes(b"half")
    candidates.main(config)
    assert files(config) == whole


def test_a_run_that_fails_leaves_no_summary(
    config: CandidatesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part = candidates._write_part

    def fail_at_the_second(folder: str, number: int, part: list[candidates.Candidate]) -> None:
        if number == 1:
            raise KeyboardInterrupt
        write_part(folder, number, part)

    with monkeypatch.context() as patch:
        patch.setattr(candidates, "_write_part", fail_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            candidates.main(config)
    assert list(files(config)) == ["config.json", "part-00000.parquet"]
    candidates.main(config)
    assert captions(config) == [f"fox {i}" for i in range(ROWS)]


def test_a_folder_of_something_else_is_not_touched(config: CandidatesConfig) -> None:
    folder = Path(config.output)
    folder.mkdir()
    (folder / "part-00000.parquet").write_bytes(b"precious")
    with pytest.raises(UserError, match="holds other files"):
        candidates.main(config)
    assert files(config) == {"part-00000.parquet": b"precious"}


@pytest.mark.parametrize("flags", [{"input": None}, {"seeds": ("http://x.test/",)}])
def test_input_or_seeds_must_be_given_and_not_both(
    config: CandidatesConfig, flags: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"--input .* or --seeds"):
        candidates.main(replace(config, **flags))  # pyright: ignore[reportArgumentType]  # flags are fields


def test_nothing_found_is_an_error_and_not_a_finished_folder(config: CandidatesConfig) -> None:
    Path(config.input or "").write_text("url\tcaption\n\tfox\n")
    with pytest.raises(DiagonalError, match=r"no candidates came out: .*rows without url 1"):
        candidates.main(config)
    assert "summary.json" not in files(config)


def test_a_crawl_gives_candidates_and_counts_its_pages(
    server: "HostileServer", tmp_path: Path
) -> None:
    pictures = '<img src=1.png alt="a fox"><img src=1.png alt="a fox"><img src=2.png alt="">'
    seed = server.put_page("/", f'{pictures}<a href="/lost">lost</a>')
    config = CandidatesConfig(output=f"{tmp_path}/out", seeds=(seed,), allow_hosts=(server.host,))
    candidates.main(config)
    assert captions(config) == ["a fox"]
    assert counts(config) == {
        "candidates": 1,
        "duplicates": 1,
        "empty_captions": 1,
        "rows_without_url": 0,
        "pages": {"read": 1, "not_found": 1},
    }
