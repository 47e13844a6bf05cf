import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.candidates.found import FOUND_SCHEMA, ReadCounts
from diagonal_data.candidates.list_columns import columns_for
from diagonal_data.candidates.lists import BATCH_ROWS, check_lists, find_lists, read_list
from diagonal_infra.errors import StorageError, UserError

URL = "http://x.test/a.jpg"


def read(pattern: Path | str) -> tuple[list[dict[str, Any]], ReadCounts]:
    """Rows of all lists, the one text of each as `text`, and what was counted."""
    counts = ReadCounts()
    rows = []
    for path in find_lists([str(pattern)]):
        for table in read_list(path, counts):
            assert table.schema.equals(FOUND_SCHEMA)
            rows += table.to_pylist()
    return [row | {"text": row.pop("texts")[0]} for row in rows], counts


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_laion_parquet_with_all_that_is_known(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "l.parquet",
        URL=[URL],
        TEXT=[" a  red\nfox "],
        WIDTH=[640.0],
        HEIGHT=[480],
        LANGUAGE=["en"],
        LICENSE=["CC BY"],
    )
    (row,), counts = read(path)
    assert row == dict.fromkeys(FOUND_SCHEMA.names[3:]) | {
        "url": URL,
        "text": " a  red\nfox ",
        "sources": ["list"],
        "lang": "en",
        "width_hint": 640,
        "height_hint": 480,
        "licence": "CC BY",
    }
    assert (counts.pages, counts.images) == ({"read": 1}, {"found": 1} | dict.fromkeys(NONE, 0))


NONE = ("no_url", "bad_url", "no_text")


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_rows_without_url_or_caption_are_counted(tmp_path: Path, ending: str) -> None:
    urls = [URL, None, " ", URL, f" {URL.upper()}\n", None, "ftp://x.test/a", "data:image/png,x"]
    captions = ["fox", "fox", "fox", None, " \n", None, "fox", "fox"]
    path = tmp_path / f"l.{ending}"
    if ending == "parquet":
        write_parquet(path, url=urls, caption=captions)
    else:
        rows = [{"url": u, "caption": c} for u, c in zip(urls, captions, strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    found, counts = read(path)
    assert [row["url"] for row in found] == [URL]
    assert counts.images == {"found": 1, "no_url": 3, "no_text": 2, "bad_url": 2}


def test_both_ways_of_reading_give_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {"url": URL, "caption": "fox", "width": 7.5, "license": "", "page": "http://x.test/"},
        {"url": f" {URL} ", "caption": "é ", "width": -1.0, "license": "by", "page": None},
    ]
    write_parquet(tmp_path / "a.parquet", **{n: [row[n] for row in rows] for n in rows[0]})
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path / "a.parquet")[0] == read(tmp_path / "b.jsonl")[0]


def test_columns_of_odd_types_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "l.parquet",
        url=pa.array([URL, URL]).dictionary_encode(),
        caption=pa.array(["fox", "cat"], pa.large_string()),
        width=["640", "wide"],
        lang=[1, 2],
        face_bboxes=[[[0.0, 0.0, 0.5, 0.5]], [[1.0]]],
    )
    found, _ = read(path)
    assert [row["width_hint"] for row in found] == [640, None]
    assert [row["lang"] for row in found] == [None, None]
    assert [row["face_bboxes"] for row in found] == [[[0.0, 0.0, 0.5, 0.5]], None]


def test_a_caption_that_is_no_utf8_is_read_with_replacements(tmp_path: Path) -> None:
    captions = pa.array([b"fox \xff"], pa.binary()).view(pa.string())
    found, _ = read(write_parquet(tmp_path / "l.parquet", url=[URL], caption=captions))
    assert [row["text"] for row in found] == ["fox \ufffd"]


def test_the_row_groups_of_a_parquet_list_are_shared_by_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    table = pa.table({"url": [URL] * 50, "caption": [f"{i} {'x' * 99}" for i in range(50)]})
    pq.write_table(table, path, row_group_size=7, compression="none")
    size = path.stat().st_size
    for cuts in ([0], [0, 1], [0, size // 3, size // 2], list(range(0, size, 100))):
        ends = [*cuts[1:], None]
        texts = [
            text
            for start, end in zip(cuts, ends, strict=True)
            for part in read_list(str(path), ReadCounts(), start=start, end=end)
            for (text,) in part["texts"].to_pylist()
        ]
        assert texts == table["caption"].to_pylist()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", f'url,caption,page_url\n{URL},"a ""red"", fox",http://x.test/\n'),
        ("l.csv", f'\ufeffCaption,Image_URL,page_url\r\n"a ""red"", fox",{URL},http://x.test/\r\n'),
        ("l.tsv", f'url\ttext\tpage_url\n{URL}\ta "red", fox\thttp://x.test/\n'),
        (
            "l.jsonl",
            json.dumps({"uri": URL, "alt": 'a "red", fox', "page_url": "http://x.test/"}) + "\n\n",
        ),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
def test_text_formats(tmp_path: Path, name: str, content: str, packed: str) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[packed]
    (tmp_path / (name + packed)).write_bytes(pack(content.encode()))
    (row,), counts = read(tmp_path / (name + packed))
    assert (row["url"], row["text"]) == (URL, 'a "red", fox')
    assert row["page_url"] == "http://x.test/"
    assert counts.images == {"found": 1}


@pytest.mark.parametrize("line", [f'a "red" fox\t{URL}\n', f'{URL}\ta "red" fox\n'])
def test_a_tsv_without_a_header_is_known_by_its_url(tmp_path: Path, line: str) -> None:
    (tmp_path / "cc.tsv").write_text(line * 2)
    found, _ = read(tmp_path / "cc.tsv")
    assert [(row["url"], row["text"]) for row in found] == [(URL, 'a "red" fox')] * 2


def test_three_columns_without_a_header_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(f"{URL}\tfox\t1\n")
    with pytest.raises(UserError, match=r"x\.tsv has no header and 3 columns"):
        check_lists(find_lists([str(tmp_path / "x.tsv")]))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_a_wrong_schema_names_the_file_the_columns_and_what_is_wanted(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "x.parquet":
        write_parquet(path, link=["l"], caption=["c"])
    else:
        path.write_text("link,caption\nl,c\n" if name == "x.csv" else '{"link":"l","caption":"c"}')
    with pytest.raises(UserError, match=rf"{name} has the columns link, caption; .*url: url, imag"):
        check_lists([str(path)])
    found, counts = read(path)
    assert (found, counts.pages) == ([], {"wrong_columns": 1})


def test_the_first_alias_wins_in_any_case() -> None:
    columns = columns_for(["ALT", "Text", "caption", "IMAGE_URL", "url"], "x")
    assert (columns["url"], columns["caption"]) == ("url", "caption")


def test_json_lines_that_are_broken_are_counted(tmp_path: Path) -> None:
    lines = [json.dumps({"url": URL, "caption": "fox"}), "{broken", "[1]", '{"url": 3}']
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    found, counts = read(tmp_path / "x.jsonl")
    assert (len(found), counts.images) == (1, {"found": 1, "bad_row": 2, "no_url": 1})


def test_half_surrogate_pairs_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"url": URL, "caption": "fox \ud83e"}))
    (row,), _ = read(tmp_path / "x.jsonl")
    assert row["text"] == "fox \ufffd"


@pytest.mark.parametrize(
    ("width", "hint"),
    [("640", 640), ("", None), ("nan", None), ("-1", None), ("1e99", None), ("inf", None)],
)
def test_size_hints_are_pixels_or_nothing(tmp_path: Path, width: str, hint: int | None) -> None:
    (tmp_path / "x.csv").write_text(f"url,caption,width\n{URL},fox,{width}\n")
    (row,), _ = read(tmp_path / "x.csv")
    assert row["width_hint"] == hint


def test_a_quotation_mark_that_nothing_ends_costs_its_own_line_only(tmp_path: Path) -> None:
    lines = [f"{URL},fox {number}" for number in range(200)]
    lines[3] = f'{URL},"fox 3'
    lines[150] = f'{URL},"fox\nwith ""two"" lines"'
    lines[199] = f'{URL},"fox 199'
    (tmp_path / "x.csv").write_text("url,caption\n" + "\n".join(lines) + "\n")
    found, counts = read(tmp_path / "x.csv")
    expected = [f"fox {number}" for number in range(199) if number != 3]
    expected[149] = 'fox\nwith "two" lines'
    assert [row["text"] for row in found][: len(expected)] == expected
    assert counts.images["bad_row"] == 1


def test_lines_with_other_numbers_of_fields_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"url,caption\n{URL}\n{URL},a,b\n{URL},fox\n")
    found, counts = read(tmp_path / "x.csv")
    assert [row["text"] for row in found] == ["fox"]
    assert counts.images == {"bad_row": 2, "found": 1}


def test_many_rows_come_in_batches_and_in_order(tmp_path: Path) -> None:
    count = 2 * BATCH_ROWS + 1
    path = write_parquet(
        tmp_path / "l.parquet", url=[URL] * count, caption=[str(i) for i in range(count)]
    )
    sizes = [table.num_rows for table in read_list(str(path), ReadCounts())]
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 1]
    assert [row["text"] for row in read(path)[0]] == [str(i) for i in range(count)]


def test_the_lists_of_a_folder_are_read_in_order_and_other_files_passed_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "b.tsv").write_text(f"b\t{URL}\n")
    (tmp_path / "a.tsv").write_text(f"a\t{URL}\n")
    (tmp_path / "README.md").write_text("about")
    assert [row["text"] for row in read(tmp_path)[0]] == ["a", "b"]


def test_a_name_without_a_list_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(URL)
    with pytest.raises(UserError, match=r"no URL list among .*x\.txt"):
        read(tmp_path / "x.txt")
    with pytest.raises(UserError, match="no file matches"):
        read(tmp_path / "none-*.csv")


def test_an_empty_list_has_no_candidates(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("")
    write_parquet(tmp_path / "y.parquet", url=[], caption=[])
    assert read(tmp_path)[0] == []


def test_lists_without_a_row_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("url,caption\n")
    write_parquet(tmp_path / "y.parquet", url=[], caption=[])
    with pytest.raises(UserError, match=r"no rows in .*x\.csv, .*y\.parquet"):
        check_lists(find_lists([str(tmp_path)]))
    (tmp_path / "z.csv").write_text("url,caption\n,\n")
    check_lists(find_lists([str(tmp_path)]))


def test_a_list_without_the_columns_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text(f"url,caption\n{URL},c\n")
    write_parquet(tmp_path / "b.parquet", link=[], caption=[])
    check_lists(find_lists([str(tmp_path)]))
    found, counts = read(tmp_path)
    assert (len(found), counts.pages) == (1, {"read": 1, "wrong_columns": 1})
    assert "b.parquet has the columns link, caption" in caplog.text


def test_a_list_that_vanishes_is_counted(tmp_path: Path) -> None:
    counts = ReadCounts()
    assert [*read_list(str(tmp_path / "gone.csv"), counts)] == []
    assert [*read_list(str(tmp_path / "gone.parquet"), counts)] == []
    assert counts.pages == {"missing": 2}


def test_of_a_damaged_list_what_can_be_read_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(StorageError, match=r"x\.parquet"):
        check_lists([str(tmp_path / "x.parquet")])
    assert read(tmp_path / "x.parquet")[1].pages == {"truncated": 1}
    lines = "".join(f"{URL},{number}\n" for number in range(9_000))
    packed = gzip.compress(f"url,caption\n{lines}".encode())
    (tmp_path / "x.csv.gz").write_bytes(packed[: len(packed) // 2])
    found, counts = read(tmp_path / "x.csv.gz")
    assert counts.pages == {"truncated": 1}
    assert 1_000 < len(found) < 9_000
    assert "x.csv.gz" in caplog.text
