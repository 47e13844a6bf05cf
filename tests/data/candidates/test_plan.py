import os
from pathlib import Path

import fsspec
import pytest

from diagonal_data.candidates.plan import InputFile, Unit, input_file, partitions_for, plan_units

MIB = 2**20


def file(path: str, size: int, version: str = "1") -> InputFile:
    return InputFile(path=path, size=size, version=version)


def ranges(units: list[Unit]) -> list[tuple[str, int, int | None]]:
    return [(unit.paths[0], unit.start, unit.end) for unit in units]


@pytest.mark.parametrize(("reader", "path"), [("wat", "a.wat.gz"), ("urls", "a.parquet")])
def test_a_long_file_is_shared_and_its_last_range_is_open(reader: str, path: str) -> None:
    units = plan_units(reader, [file(path, 5 * MIB)], 2 * MIB)
    expected = [(0, 2 * MIB), (2 * MIB, 4 * MIB), (4 * MIB, None)]
    assert ranges(units) == [(path, *bounds) for bounds in expected]


@pytest.mark.parametrize("path", ["a.csv", "a.jsonl.gz", "a.parquet.gz"])
def test_what_has_no_beginnings_in_the_middle_is_read_whole(path: str) -> None:
    assert ranges(plan_units("urls", [file(path, 5 * MIB)], 2 * MIB)) == [(path, 0, None)]


def test_an_empty_file_is_read_too() -> None:
    assert ranges(plan_units("wat", [file("a.wat", 0)], 2 * MIB)) == [("a.wat", 0, None)]


def test_small_pages_are_read_together() -> None:
    files = [file(f"{number}.html", 10) for number in range(4_500)]
    units = plan_units("html", files, MIB)
    assert [len(unit.paths) for unit in units] == [2_000, 2_000, 500]
    assert [path for unit in units for path in unit.paths] == [each.path for each in files]


def test_more_input_adds_units_and_renames_none() -> None:
    first = plan_units("wat", [file("b.wat", MIB)], MIB)
    both = plan_units("wat", [file("a.wat", 3 * MIB), file("b.wat", MIB)], MIB)
    assert {unit.name for unit in first} < {unit.name for unit in both}
    assert len({unit.name for unit in both}) == 4


def test_a_replaced_file_has_other_units() -> None:
    old, new = (plan_units("wat", [file("a", 9, version)], MIB)[0].name for version in "12")
    assert old != new


@pytest.mark.parametrize(
    ("size", "partitions"), [(0, 1), (100 * MIB, 1), (200 * MIB, 4), (10**15, 1024)]
)
def test_partitions_follow_the_size_of_the_input(size: int, partitions: int) -> None:
    assert partitions_for([file("a", size)]) == partitions


def test_a_list_that_grows_or_is_replaced_is_another_version(tmp_path: Path) -> None:
    path, link = tmp_path / "x.csv", tmp_path / "link.csv"
    path.write_text("url,caption\n")
    link.symlink_to(path)
    os.utime(path, ns=(1, 1))
    assert input_file(str(link)) == InputFile(path=str(link), size=12, version="1")
    os.utime(path, ns=(2, 2))
    assert input_file(str(link)).version == "2"
    path.write_text("url,caption\nu,c\n")
    assert input_file(str(link)).size == 16


def test_the_version_of_an_object_is_what_its_store_says() -> None:
    with fsspec.open("memory://lists/x.csv", "wb") as file:
        file.write(b"url,caption\n")  # pyright: ignore[reportAttributeAccessIssue]  # a file
    first = input_file("memory://lists/x.csv")
    assert first.size == 12
    assert first.version
    with fsspec.open("memory://lists/x.csv", "wb") as file:
        file.write(b"caption,url\n")  # pyright: ignore[reportAttributeAccessIssue]  # a file
    assert input_file("memory://lists/x.csv") != first
