import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.tombstones import named_rows, read_tombstones
from diagonal_infra.errors import UserError

URL = "http://www.Example.org:80/a/B.jpg?x=1#top"


def rows(**columns: object) -> pa.Table:
    """Two rows: one with these values, one of somebody else."""
    one = {"uid": "a" * 32, "url": URL, "page_url": "https://p.example/1", "final_url": None}
    one |= {"sha256": "b" * 64, "phash": 0xFF00FF00FF00FF00} | columns
    other = {"uid": "c" * 32, "url": "http://other.example/B.jpg", "page_url": None}
    other |= {"final_url": None, "sha256": None, "phash": None}
    schema = pa.schema([(n, pa.uint64() if n == "phash" else pa.string()) for n in one])
    return pa.Table.from_pylist([one, other], schema=schema)


def named(tmp_path, table: pa.Table, **columns: list) -> list[bool]:
    pq.write_table(pa.table(columns), tmp_path / "tombstones.parquet")
    return named_rows(read_tombstones(str(tmp_path)), table).tolist()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("uid", "a" * 32),
        ("uid", "A" * 32),
        ("url", URL),
        ("url", "HTTP://www.example.org/a/B.jpg?x=1"),
        ("page_url", "https://P.example:443/1"),
        ("host", "WWW.example.org"),
        ("domain", "example.org"),
        ("domain", "www.example.org"),
        ("sha256", "B" * 64),
    ],
)
def test_each_kind_names_its_row_in_any_spelling(tmp_path, column: str, value: str) -> None:
    assert named(tmp_path, rows(), **{column: [value, None]}) == [True, False]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("url", "http://www.example.org/a/b.jpg?x=1"),
        ("url", "http://www.example.org/a/B.jpg"),
        ("host", "example.org"),
        ("domain", "ample.org"),
        ("page_url", "https://p.example/"),
    ],
)
def test_what_is_only_alike_is_not_named(tmp_path, column: str, value: str) -> None:
    assert named(tmp_path, rows(), **{column: [value]}) == [False, False]


def test_where_a_redirect_led_counts_as_well(tmp_path) -> None:
    table = rows(final_url="https://cdn.example.net/z.jpg")
    assert named(tmp_path, table, host=["cdn.example.net"]) == [True, False]
    assert named(tmp_path, table, url=["https://cdn.example.net/z.jpg"]) == [True, False]


def test_an_international_host_is_known_by_both_of_its_names(tmp_path) -> None:
    table = rows(url="http://bücher.example/1.jpg")
    assert named(tmp_path, table, host=["xn--bcher-kva.example"]) == [True, False]
    table = rows(url="http://xn--bcher-kva.example/1.jpg")
    assert named(tmp_path, table, host=["Bücher.example."]) == [True, False]


def test_a_perceptual_hash_names_what_is_within_its_distance(tmp_path) -> None:
    stone = pa.array([0xFF00FF00FF00FF07, None], pa.uint64())
    for distance, is_named in ((None, False), (2, False), (3, True)):
        distances = pa.array([distance, None], pa.int32())
        found = named(tmp_path, rows(), phash=stone, phash_distance=distances)
        assert found == [is_named, False]


def test_a_file_that_names_nothing_known_is_refused(tmp_path) -> None:
    pq.write_table(pa.table({"URL": ["x"]}), tmp_path / "tombstones.parquet")
    with pytest.raises(UserError, match="none of the columns uid, url"):
        read_tombstones(str(tmp_path))
    (tmp_path / "tombstones.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(UserError, match="cannot be read as tombstones"):
        read_tombstones(str(tmp_path))
