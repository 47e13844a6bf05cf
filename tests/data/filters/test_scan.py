"""Scores that are missing, broken or of other samples are named before anything is written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import kept_uids, pool_of, row, write_dataset, write_scores

from diagonal_data.score_sets import TAR_KEY, UIDS_KEY
from diagonal_infra.errors import UserError

LOW = ("clip_similarity > 0.15",)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    folder = write_dataset(tmp_path, [[row(1), row(2)], [row(3)]])
    write_scores(folder, "clip/m", {"similarity": [0.1, 0.2, 0.3]})
    return folder


def table_of(dataset: str, shard: int) -> Path:
    return Path(dataset) / "scores" / "clip" / "m" / f"{shard:08d}.parquet"


def rewrite(path: Path, table: pa.Table, metadata: dict[bytes, bytes]) -> None:
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_a_shard_without_scores_is_named(dataset: str) -> None:
    table_of(dataset, 1).rename(table_of(dataset, 1).with_suffix(".parquet.partial-1"))
    with pytest.raises(UserError, match=r"1 of 2 shards lack scores clip/m \(00000001\)"):
        pool_of(dataset, where=LOW)


def test_a_broken_table_is_named(dataset: str) -> None:
    table_of(dataset, 1).write_bytes(table_of(dataset, 1).read_bytes()[:-20])
    with pytest.raises(UserError, match=r"00000001.*cannot be read"):
        pool_of(dataset, where=LOW)


@pytest.mark.parametrize("with_digest", [True, False])
def test_scores_of_other_samples_are_refused(dataset: str, with_digest: bool) -> None:
    table = pq.read_table(table_of(dataset, 0))
    swapped = table.take([1, 0])
    metadata = {UIDS_KEY: b"another"} if with_digest else {}
    rewrite(table_of(dataset, 0), swapped, metadata)
    with pytest.raises(UserError, match="clip/m of shard 00000000 are of other samples"):
        pool_of(dataset, where=LOW)


def test_a_table_without_a_digest_is_compared_uid_by_uid(dataset: str) -> None:
    for shard in (0, 1):
        rewrite(table_of(dataset, shard), pq.read_table(table_of(dataset, shard)), {})
    assert kept_uids(pool_of(dataset, where=LOW)) == {row(2)["uid"], row(3)["uid"]}


def test_scores_of_another_tar_are_refused(dataset: str) -> None:
    table = pq.read_table(table_of(dataset, 0))
    rewrite(table_of(dataset, 0), table, {**(table.schema.metadata or {}), TAR_KEY: b"other"})
    with pytest.raises(UserError, match="made of another tar"):
        pool_of(dataset, where=LOW)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("widht > 3", "no column 'widht'.*did you mean width"),
        ("clip_similarty > 3", "no column 'clip_similarty'.*did you mean clip_similarity"),
        ("safety_nsfw < 0.5", "no safety scores; make them with .*scores safety --dataset"),
        ("dedup_is_exact_copy", "no dedup scores; make them with .*dedup"),
        ('lang = "en"', "no column 'en'"),
        ("width", "gives INTEGER; compare it"),
        ("width > 'wide'", "does not fit|cannot be computed"),
        ("length(width, 3) > 1", "does not fit"),
        ("no_such_function(width)", "no function 'no_such_function'"),
    ],
)
def test_a_condition_that_cannot_be_computed_is_explained(
    dataset: str, condition: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pool_of(dataset, where=(condition,))


def test_of_several_sets_one_must_be_named(dataset: str) -> None:
    write_scores(dataset, "clip/ViT-B.32", {"similarity": [0.3, 0.2, 0.1]})
    with pytest.raises(UserError, match=r"several score sets of clip.*clip_vit_b_32_similarity"):
        pool_of(dataset, where=LOW)
    found = pool_of(dataset, where=("clip_m_similarity > clip_vit_b_32_similarity",))
    assert kept_uids(found) == {row(3)["uid"]}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTP://User:pw@Host.Example:8080/a", "host.example"),
        ("https://host.example?x=//other/", "host.example"),
        ("http://[::1]:80/a", "::1"),
        ("not a url", ""),
    ],
)
def test_the_host_is_a_column(tmp_path: Path, url: str, host: str) -> None:
    dataset = write_dataset(tmp_path, [[row(1, url=url)]])
    assert len(pool_of(dataset, where=(f"host = '{host}'",)).kept()) == 1
