import bz2
import gzip
import json
import os
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.candidates.lists import (
    BATCH_ROWS,
    check_lists,
    columns_for,
    find_lists,
    read_lists,
    version_of,
)
from diagonal_data.schema import Candidate, uid_for
from diagonal_infra.errors import StorageError, UserError

URL = "http://x.test/a.jpg"


def read(pattern: Path | str) -> tuple[list[Candidate], int, int]:
    """Candidates, rows without URL, empty captions."""
    batches = list(read_lists(find_lists(str(pattern))))
    return (
        [candidate for batch in batches for candidate in batch.candidates],
        sum(batch.rows_without_url for batch in batches),
        sum(batch.empty_captions for batch in batches),
    )


def write_parquet(path: Path, **columns: list[object]) -> Path:
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
    ((candidate,), _, _) = read(path)
    assert candidate == Candidate(
        uid=uid_for(URL, "a red fox"),
        url=URL,
        caption="a red fox",
        caption_raw=" a  red\nfox ",
        source="list",
        lang="en",
        width_hint=640,
        height_hint=480,
        licence="CC BY",
    )


def test_the_uid_of_datacomp_is_not_taken_over(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "d.parquet", uid=["f" * 32], url=[URL], text=["fox"], original_width=[7]
    )
    ((candidate,), _, _) = read(path)
    assert candidate.uid == uid_for(URL, "fox")
    assert candidate.width_hint == 7


def test_rows_without_url_or_caption_are_counted(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "l.parquet",
        url=[URL, None, " ", URL, URL, None],
        caption=["fox", "fox", "fox", None, " \n", None],
    )
    candidates, without_url, empty = read(path)
    assert (len(candidates), without_url, empty) == (1, 3, 2)


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
    ((candidate,), without_url, empty) = read(tmp_path / (name + packed))
    assert (candidate.url, candidate.caption) == (URL, 'a "red", fox')
    assert candidate.page_url == "http://x.test/"
    assert (without_url, empty) == (0, 0)


@pytest.mark.parametrize("line", [f'a "red" fox\t{URL}\n', f'{URL}\ta "red" fox\n'])
def test_a_tsv_without_a_header_is_known_by_its_url(tmp_path: Path, line: str) -> None:
    (tmp_path / "cc.tsv").write_text(line * 2)
    candidates, _, _ = read(tmp_path / "cc.tsv")
    assert [(c.url, c.caption) for c in candidates] == [(URL, 'a "red" fox')] * 2


def test_three_columns_without_a_header_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(f"{URL}\tfox\t1\n")
    with pytest.raises(UserError, match=r"x\.tsv has no header and 3 columns"):
        read(tmp_path / "x.tsv")


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
        read(path)


def test_the_first_alias_wins_in_any_case() -> None:
    columns = columns_for(["ALT", "Text", "caption", "IMAGE_URL", "url"], "x")
    assert (columns["url"], columns["caption"]) == ("url", "caption")


def test_json_lines_that_are_broken_count_as_rows_without_url(tmp_path: Path) -> None:
    lines = [json.dumps({"url": URL, "caption": "fox"}), "{broken", "[1]", '{"url": 3}']
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    candidates, without_url, _ = read(tmp_path / "x.jsonl")
    assert (len(candidates), without_url) == (1, 3)


def test_half_surrogate_pairs_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"url": URL, "caption": "fox \ud83e"}))
    ((candidate,), _, _) = read(tmp_path / "x.jsonl")
    assert candidate.caption == "fox \ufffd"
    assert candidate.caption.encode()


@pytest.mark.parametrize(
    ("width", "hint"),
    [("640", 640), ("", None), ("nan", None), ("-1", None), ("1e99", None), ("inf", None)],
)
def test_size_hints_are_pixels_or_nothing(tmp_path: Path, width: str, hint: int | None) -> None:
    (tmp_path / "x.csv").write_text(f"url,caption,width\n{URL},fox,{width}\n")
    ((candidate,), _, _) = read(tmp_path / "x.csv")
    assert candidate.width_hint == hint


def test_many_rows_come_in_batches_and_in_order(tmp_path: Path) -> None:
    count = 2 * BATCH_ROWS + 1
    path = write_parquet(
        tmp_path / "l.parquet", url=[URL] * count, caption=[str(i) for i in range(count)]
    )
    sizes = [len(batch.candidates) for batch in read_lists([str(path)])]
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 1]
    assert [c.caption for c in read(path)[0]] == [str(i) for i in range(count)]


def test_the_lists_of_a_folder_are_read_in_order_and_other_files_passed_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "b.tsv").write_text(f"b\t{URL}\n")
    (tmp_path / "a.tsv").write_text(f"a\t{URL}\n")
    (tmp_path / "README.md").write_text("about")
    assert [c.caption for c in read(tmp_path)[0]] == ["a", "b"]


def test_a_name_without_a_list_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(URL)
    with pytest.raises(UserError, match=r"no URL list among .*x\.txt"):
        read(tmp_path / "x.txt")
    with pytest.raises(UserError, match="no file matches"):
        read(tmp_path / "none-*.csv")


def test_an_empty_list_has_no_candidates(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("")
    write_parquet(tmp_path / "y.parquet", url=[], caption=[])
    assert read(tmp_path) == ([], 0, 0)


def test_lists_without_a_row_are_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("url,caption\n")
    write_parquet(tmp_path / "y.parquet", url=[], caption=[])
    with pytest.raises(UserError, match=r"no rows in .*x\.csv, .*y\.parquet"):
        check_lists(find_lists(str(tmp_path)))
    (tmp_path / "z.csv").write_text("url,caption\n,\n")
    check_lists(find_lists(str(tmp_path)))


def test_the_columns_of_every_list_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("url,caption\nu,c\n")
    write_parquet(tmp_path / "b.parquet", link=[], caption=[])
    with pytest.raises(UserError, match=r"b\.parquet has the columns link, caption"):
        check_lists(find_lists(str(tmp_path)))


def test_a_list_that_grows_or_is_replaced_is_another_version(tmp_path: Path) -> None:
    path, link = tmp_path / "x.csv", tmp_path / "link.csv"
    path.write_text("url,caption\n")
    link.symlink_to(path)
    os.utime(path, ns=(1, 1))
    first = version_of(str(link))
    assert first == {"path": str(link), "size": 12, "version": "1"}
    os.utime(path, ns=(2, 2))
    assert version_of(str(link)) == first | {"version": "2"}
    path.write_text("url,caption\nu,c\n")
    assert version_of(str(link))["size"] == 16


def test_the_version_of_an_object_is_what_its_store_says() -> None:
    with fsspec.open("memory://lists/x.csv", "wb") as file:
        file.write(b"url,caption\n")  # pyright: ignore[reportAttributeAccessIssue]  # a file
    first = version_of("memory://lists/x.csv")
    assert first["size"] == 12
    assert first["version"]
    with fsspec.open("memory://lists/x.csv", "wb") as file:
        file.write(b"caption,url\n")  # pyright: ignore[reportAttributeAccessIssue]  # a file
    assert version_of("memory://lists/x.csv") != first


def test_a_damaged_list_is_reported_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(StorageError, match=r"x\.parquet"):
        read(tmp_path / "x.parquet")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"url,caption\n" + b"a,b\n" * 9_000)[:-20])
    with pytest.raises(StorageError, match=r"x\.csv\.gz"):
        read(tmp_path / "x.csv.gz")
