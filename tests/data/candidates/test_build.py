"""The whole way from lists to parts: one set of rows, whatever the order, workers and kills."""

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.candidates.built import funnel, rows_of

from diagonal_data.candidates import reading, report
from diagonal_data.candidates.build import build
from diagonal_data.candidates.config import (
    BalanceConfig,
    CandidatesConfig,
    DedupConfig,
    ReportConfig,
)
from diagonal_data.schema import uid_for
from diagonal_infra.errors import DiagonalError, UserError

if TYPE_CHECKING:
    pass

ANIMALS = ("fox", "dog", "cat", "owl", "hen")
ROWS = 600


def lists(folder: Path, order: int = 0, files: int = 3) -> Path:
    """Rows with copies under other spellings, in an order of their own, in several files."""
    folder.mkdir()
    dice = random.Random(0)
    rows = []
    for number in range(ROWS):
        animal = ANIMALS[min(int(dice.expovariate(0.8)), 4)]
        url = f"http://x{number % 7}.test/{number % 250}.jpg"
        caption = f"a {animal} in a field no. {dice.randrange(400)}"
        if rows and dice.random() < 0.2:
            url, caption = dice.choice(rows)
            url = f"{url.partition('?')[0]}?utm_source={number}"
        rows.append((url, caption))
    random.Random(order).shuffle(rows)
    for number in range(files):
        urls, captions = zip(*rows[number::files], strict=True)
        pq.write_table(pa.table({"url": urls, "caption": captions}), folder / f"{number}.parquet")
    (folder / "entries").write_text("\n".join([*ANIMALS, "field", "bird"]))
    return folder


def config(folder: Path, **flags: object) -> CandidatesConfig:
    given = CandidatesConfig(
        reader="urls",
        input=(str(folder),),
        output=str(folder.parent / f"out-{folder.name}"),
        detect_language=False,
        local=True,
        balance=BalanceConfig(metadata=str(folder / "entries"), t=60),
    )
    return replace(given, **flags)  # pyright: ignore[reportArgumentType]  # flags are fields


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_every_row_ends_under_one_name(tmp_path: Path) -> None:
    given = config(lists(tmp_path / "a"))
    build(given)
    rows, counted = rows_of(given.output), funnel(given.output)
    assert counted["pages"] == {"read": 3}
    assert counted["images"]["found"] == ROWS == sum(counted["rows"].values())
    assert counted["rows"]["kept"] == len(rows) == len({row["uid"] for row in rows})
    assert set(counted["rows"]) == {"kept", "balanced_away", "duplicate"}
    assert min(counted["rows"].values()) > 50
    for row in rows:
        assert row["uid"] == uid_for(row["url"], row["caption"])
        assert 0 < row["keep_p"] <= 1
        assert 5 in row["matches"]
    shared = {(row["url"].partition("?")[0], row["caption"]) for row in rows}
    assert len(shared) == len(rows)


def test_order_files_partitions_and_workers_do_not_change_the_result(tmp_path: Path) -> None:
    first = config(lists(tmp_path / "a"))
    build(first)
    expected = rows_of(first.output)
    for name, order, files, partitions in (("b", 1, 1, 1), ("c", 2, 5, 8)):
        other = config(lists(tmp_path / name, order, files), partitions=partitions)
        build(other)
        assert rows_of(other.output) == expected


def test_four_workers_on_ray_and_another_order_give_the_same_rows(tmp_path: Path) -> None:
    here = config(lists(tmp_path / "a"))
    build(here)
    on_ray = config(lists(tmp_path / "b", 1, 5), local=False, workers=4, partitions=4)
    build(on_ray)
    assert rows_of(on_ray.output) == rows_of(here.output)


def test_another_t_keeps_a_subset_and_reads_nothing_anew(tmp_path: Path) -> None:
    given = config(lists(tmp_path / "a"))
    build(given)
    many, before = rows_of(given.output), stamps(Path(given.output))
    build(replace(given, balance=replace(given.balance, t=20)))
    few, after = rows_of(given.output), stamps(Path(given.output))
    assert {row["uid"] for row in few} < {row["uid"] for row in many}
    assert {n for n in before if before[n] != after[n]} == {"part-00000.parquet", "entries.parquet"}


def test_a_list_more_is_read_and_the_others_are_not(tmp_path: Path) -> None:
    folder = lists(tmp_path / "a")
    given = config(folder, balance=BalanceConfig())
    build(given)
    before = stamps(Path(given.output, "read"))
    pq.write_table(
        pa.table({"url": ["http://new.test/1.jpg"], "caption": ["a fox"]}), folder / "9.parquet"
    )
    build(given)
    after = stamps(Path(given.output, "read"))
    assert before.items() < after.items()
    assert "http://new.test/1.jpg" in {row["url"] for row in rows_of(given.output)}


def test_a_killed_run_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lists(tmp_path / "a")
    whole = config(folder, output=str(tmp_path / "whole"))
    build(whole)
    killed = config(folder, output=str(tmp_path / "killed"))
    read = reading.read_list

    def die_at_the_last(path: str, *arguments: object, **named: object) -> object:
        if path.endswith("2.parquet"):
            raise KeyboardInterrupt
        return read(path, *arguments, **named)  # pyright: ignore[reportArgumentType]  # passed on

    with monkeypatch.context() as patch:
        patch.setattr(reading, "read_list", die_at_the_last)
        with pytest.raises(KeyboardInterrupt):
            build(killed)
    assert not Path(killed.output, "summary.json").exists()
    before = stamps(Path(killed.output, "read"))
    assert len(before) == 2
    build(killed)
    assert before.items() < stamps(Path(killed.output, "read")).items()
    assert rows_of(killed.output) == rows_of(whole.output)


def test_a_finished_folder_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = config(lists(tmp_path / "a"))
    build(given)
    before = stamps(Path(given.output))
    caplog.set_level("INFO")
    build(replace(given, workers=7))
    for path in Path(given.input[0]).glob("*.parquet"):
        path.unlink()
    build(given)
    assert stamps(Path(given.output)) == before
    assert caplog.text.count("is finished; nothing to do") == 2
    assert "is gone" in caplog.text


def test_cleaning_rules_name_what_they_drop_and_a_frequent_caption_goes(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    captions = ["IMG_2041.jpg", "http://x.test/", "a fox in the snow", *["the same words"] * 12]
    lines = [f"http://x.test/{number}.jpg\t{text}" for number, text in enumerate(captions)]
    (folder / "l.tsv").write_text("url\tcaption\n" + "\n".join(lines))
    given = config(folder, balance=BalanceConfig(), clean="web")
    build(replace(given, dedup=DedupConfig(max_per_caption=10)))
    assert [row["caption"] for row in rows_of(given.output)] == ["a fox in the snow"]
    rows = funnel(given.output)["rows"]
    assert rows["frequent_caption"] == 12
    assert sum(rows.values()) == 15


def test_nothing_that_comes_out_is_an_error_with_the_counts(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "l.csv").write_text("url,caption\n,fox\n")
    with pytest.raises(DiagonalError, match="images no url 1"):
        build(config(folder, balance=BalanceConfig()))


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    given = config(lists(tmp_path / "a"))
    Path(given.output).mkdir()
    Path(given.output, "part-00000.parquet").write_bytes(b"precious")
    with pytest.raises(UserError, match="holds other files"):
        build(given)
    assert Path(given.output, "part-00000.parquet").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": ()}, "give --input"),
        ({"input": ("nothing-*.csv",)}, "no file matches"),
        ({"reader": "wat"}, "no WAT file among"),
        ({"reader": "site"}, "no http"),
    ],
)
def test_input_that_cannot_be_used_is_refused_before_anything_is_written(
    tmp_path: Path, flags: dict[str, object], message: str
) -> None:
    given = config(lists(tmp_path / "a"), **flags)
    with pytest.raises(UserError, match=message):
        build(given)
    assert not Path(given.output).exists()


def test_the_report_shows_the_funnel_the_concepts_and_the_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = config(lists(tmp_path / "a"))
    build(given)
    report.main(ReportConfig(candidates=given.output))
    printed = capsys.readouterr().out
    page = Path(given.output, "report.html").read_text()
    for text in ("balanced away", "x0.test", "core-hours"):
        assert text in printed
        assert text in page
    assert "field" in page
    assert "<svg" in page
    with pytest.raises(UserError, match="no finished candidates"):
        report.main(ReportConfig(candidates=str(tmp_path)))
