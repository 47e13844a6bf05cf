import gzip
from io import BytesIO

import pytest
from tests.data.candidates.warc_files import packed, record

from diagonal_data.candidates.file_window import READ_BYTES
from diagonal_data.candidates.found import PageOutcome
from diagonal_data.candidates.members import Record, read_records

RECORDS = [record("response", f"page {n}".encode() * (n + 1)) for n in range(6)]
COMPRESSED, PLAIN = packed(*RECORDS), b"".join(RECORDS)


def contents(file: bytes, start: int = 0, end: int | None = None) -> list[bytes | str]:
    found = read_records(BytesIO(file), start, end, max_bytes=1_000)
    return [each.content if isinstance(each, Record) else str(each) for each in found]


WHOLE = [f"page {n}".encode() * (n + 1) for n in range(6)]


@pytest.mark.parametrize("file", [COMPRESSED, PLAIN], ids=["gz", "plain"])
def test_every_record_is_read_once_for_any_cut(file: bytes) -> None:
    for cut in range(len(file) + 1):
        assert contents(file, 0, cut) + contents(file, cut, None) == WHOLE


def test_three_parts_that_are_shorter_than_a_record_lose_none() -> None:
    for start in range(0, len(COMPRESSED) - 7, 3):
        parts = [(0, start), (start, start + 5), (start + 5, start + 7), (start + 7, None)]
        assert [each for part in parts for each in contents(COMPRESSED, *part)] == WHOLE


def test_all_records_before_the_end_of_a_truncated_file_are_kept() -> None:
    last = len(packed(*RECORDS[:5]))
    for end in range(last + 1, len(COMPRESSED)):
        *kept, outcome = contents(COMPRESSED[:end])
        assert kept == WHOLE[:5]
        assert outcome in (PageOutcome.TRUNCATED, PageOutcome.BAD_RECORD)
    assert contents(COMPRESSED[: len(COMPRESSED) - 9])[-1] == PageOutcome.TRUNCATED
    assert contents(PLAIN[:-12])[-1] == PageOutcome.TRUNCATED


def test_what_follows_a_broken_member_is_read() -> None:
    start, end = len(packed(*RECORDS[:2])), len(packed(*RECORDS[:3]))
    for place in range(start, end):
        broken = bytearray(COMPRESSED)
        broken[place] ^= 0x55
        found = contents(bytes(broken))
        assert [each for each in found if each not in (WHOLE[2], "bad_record")] == [
            *WHOLE[:2],
            *WHOLE[3:],
        ]
        assert len(found) == 6


def test_broken_members_do_not_double_records_for_any_cut() -> None:
    broken = bytearray(COMPRESSED)
    broken[len(packed(*RECORDS[:2])) + 20] ^= 0x55
    file = bytes(broken)
    for cut in range(len(file) + 1):
        found = contents(file, 0, cut) + contents(file, cut, None)
        assert [each for each in found if each != "bad_record"] == [*WHOLE[:2], *WHOLE[3:]]


@pytest.mark.parametrize("length", [1, 99, 10**17])
def test_a_wrong_length_is_a_broken_record(length: int) -> None:
    wrong = record("response", b"page", length=length)
    expected = [WHOLE[0], "bad_record", WHOLE[1]]
    assert contents(packed(RECORDS[0], wrong, RECORDS[1])) == expected


def test_a_wrong_length_in_a_plain_file_is_a_broken_record() -> None:
    wrong = record("response", b"page", length=3)
    assert contents(RECORDS[0] + wrong + RECORDS[1]) == [WHOLE[0], "bad_record", WHOLE[1]]


def test_a_file_in_one_member_is_read() -> None:
    assert contents(gzip.compress(b"".join(RECORDS))) == WHOLE


@pytest.mark.parametrize("file", [b"", b"\0" * 99, b"<html>", gzip.compress(b"no record", mtime=0)])
def test_what_is_no_warc_gives_nothing(file: bytes) -> None:
    assert contents(file) in ([], ["bad_record"])


def test_of_a_long_record_the_beginning_is_kept() -> None:
    long = record("response", b"x" * (3 * READ_BYTES))
    for file in (packed(long, RECORDS[0]), long + RECORDS[0]):
        found = list(read_records(BytesIO(file), max_bytes=1_000))
        first, second = found
        assert isinstance(first, Record)
        assert first.is_cut
        assert 1_000 <= len(first.content) < 2**17
        assert isinstance(second, Record)
        assert second.content == WHOLE[0]


def test_names_of_header_fields_are_the_same_in_any_case() -> None:
    odd = RECORDS[0].replace(b"WARC-Type: ", b"warc-type:\t").replace(b"Content-L", b"content-l")
    (found,) = read_records(BytesIO(packed(odd)), max_bytes=1_000)
    assert isinstance(found, Record)
    assert (found.header(b"WARC-Type"), found.content) == ("response", WHOLE[0])
