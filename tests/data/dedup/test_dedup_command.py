"""The command `dedup` on small datasets: exact and perceptual."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.dedup.small_dataset import column, encoded, picture, row_for, write_dataset

from diagonal_data.dedup.__main__ import main, write_exact, write_perceptual
from diagonal_data.dedup.config import ExactConfig, PerceptualConfig
from diagonal_data.parquet import read_parquet
from diagonal_data.score_sets import ScoreSet
from diagonal_infra.errors import UserError


def smaller(seed: int) -> np.ndarray:
    return picture(seed, 48)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Rows 0–6 in two shards: 0 and 4 have equal bytes, 5 is 1 made larger, 2 and 6 are flat."""
    flat = np.full((40, 40, 3), 90, np.uint8)
    shards = [
        [
            row_for(0, picture(1)),
            row_for(10, None),
            row_for(1, smaller(2)),
            row_for(2, flat),
        ],
        [
            row_for(3, picture(3)),
            row_for(4, picture(1)),
            row_for(5, picture(2)),
            row_for(6, flat + np.uint8(3)),
        ],
    ]
    return write_dataset(tmp_path / "d", shards)


def copies_of(dataset: str, what: str) -> tuple[list[int], list[bool]]:
    clusters = column(dataset, "dedup", what, f"{what}_cluster")
    return clusters, column(dataset, "dedup", what, f"is_{what}_copy")


def write_scores(dataset: str, kind: str, name: str, **columns: list[list]) -> None:
    """A score set of both shards, each column a list per shard."""
    for shard in range(2):
        rows = read_parquet(f"{dataset}/shards/{shard:08d}.parquet")
        uids = [r["uid"] for r in rows.to_pylist() if r["status"] == "success"]
        table = pa.table({"uid": uids, **{name: c[shard] for name, c in columns.items()}})
        source = f"{kind} {columns}"
        ScoreSet(dataset=dataset, kind=kind, name=name).write(f"{shard:08d}", table, source)


def test_exact_copies_have_equal_bytes_over_all_shards(dataset: str) -> None:
    assert write_exact(ExactConfig(dataset=dataset)) is not None
    clusters, is_copy = copies_of(dataset, "exact")
    assert clusters == [0, 1, 2, 3, 0, 5, 6]
    assert is_copy == [False] * 4 + [True, False, False]


def test_a_table_has_the_uids_of_the_stored_rows_in_their_order(dataset: str) -> None:
    write_exact(ExactConfig(dataset=dataset))
    uids = column(dataset, "dedup", "exact", "uid")
    assert uids == [f"{number:032x}" for number in range(7)]


def test_equal_pixels_are_exact_copies_where_an_image_set_has_them(dataset: str) -> None:
    write_scores(dataset, "image", "plain", pixel_sha256=[["a", "b", "c"], ["d", "e", "b", None]])
    write_exact(ExactConfig(dataset=dataset))
    assert copies_of(dataset, "exact")[0] == [0, 1, 2, 3, 0, 1, 6]


@pytest.mark.parametrize("hash", ["phash", "pdq"])
def test_perceptual_copies_are_found_and_flat_pictures_are_alone(dataset: str, hash: str) -> None:
    config = PerceptualConfig(dataset=dataset, hash=hash)  # pyright: ignore[reportArgumentType]  # one of two
    write_perceptual(config)
    clusters, is_copy = copies_of(dataset, "perceptual")
    assert clusters == [0, 1, 2, 3, 0, 1, 6]
    # Of 1 and 5 the second is larger.
    assert is_copy == [False, True, False, False, True, False, False]


def test_the_first_or_the_best_stays_where_that_is_asked_for(dataset: str) -> None:
    config = PerceptualConfig(dataset=dataset, keep="first")
    write_perceptual(config)
    first = [False] * 4 + [True, True, False]
    assert copies_of(dataset, "perceptual")[1] == first
    write_scores(dataset, "clip", "m", similarity=[[float("nan"), 0.3, 0.1], [0.1, 0.2, 0.1, 0.1]])
    best = dataclasses.replace(config, keep="best", score="clip/m.similarity")
    write_perceptual(best)
    assert copies_of(dataset, "perceptual")[1] == [True] + [False] * 4 + [True, False]


def test_what_was_taken_down_stands_for_no_other_row(dataset: str) -> None:
    write_exact(ExactConfig(dataset=dataset))
    pq.write_table(pa.table({"uid": [f"{0:032x}"]}), f"{dataset}/tombstones.parquet")
    assert write_exact(ExactConfig(dataset=dataset)) is not None
    assert copies_of(dataset, "exact") == ([0, 1, 2, 3, 4, 5, 6], [False] * 7)


@pytest.mark.parametrize(
    "config",
    [ExactConfig(dataset=""), PerceptualConfig(dataset="", hash="pdq")],
    ids=["exact", "perceptual"],
)
def test_a_second_run_writes_only_what_is_missing(
    dataset: str, config: ExactConfig | PerceptualConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(config, dataset=dataset)
    main(config)
    folder = Path(dataset) / "scores" / "dedup" / config.name
    first, second = (folder / f"{shard:08d}.parquet" for shard in range(2))
    before, kept = second.read_bytes(), first.stat().st_mtime_ns
    main(config)
    assert "nothing to do" in capsys.readouterr().out
    second.unlink()
    main(config)
    assert "nothing to do" not in capsys.readouterr().out
    assert second.read_bytes() == before
    assert first.stat().st_mtime_ns == kept


def test_another_flag_or_another_shard_is_computed_anew(dataset: str, tmp_path: Path) -> None:
    config = PerceptualConfig(dataset=dataset)
    write_perceptual(config)
    assert write_perceptual(dataclasses.replace(config, max_hamming=0)) is not None
    assert write_perceptual(config) is not None
    write_dataset(tmp_path / "d", [[row_for(0, picture(1))], [row_for(1, picture(1))]])
    assert write_perceptual(config) is not None
    assert copies_of(dataset, "perceptual") == ([0, 0], [False, True])


@pytest.mark.parametrize(("difference", "clusters"), [(40, [0, 1]), (255, [0, 0])])
def test_a_picture_in_other_colours_is_a_copy_only_where_colours_do_not_count(
    tmp_path: Path, difference: int, clusters: list[int]
) -> None:
    grey = picture(1).mean(axis=2) / 2
    shades = [(2.0, 0.0, 0.0), (0.0, 1.0187, 0.0)]  # red and green of one brightness
    rows = [
        row_for(number, (grey[:, :, None] * shade).astype(np.uint8))
        for number, shade in enumerate(shades)
    ]
    dataset = write_dataset(tmp_path / "d", [rows])
    write_perceptual(
        PerceptualConfig(
            dataset=dataset, hash="pdq", min_quality=0, max_colour_difference=difference
        )
    )
    assert copies_of(dataset, "perceptual")[0] == clusters


@pytest.mark.parametrize("hash", ["phash", "pdq"])
def test_rows_that_are_all_equal_are_one_cluster(tmp_path: Path, hash: str) -> None:
    rows = [row_for(number, picture(1)) for number in range(9)]
    dataset = write_dataset(tmp_path / "d", [rows[:5], rows[5:]])
    write_perceptual(PerceptualConfig(dataset=dataset, hash=hash))  # pyright: ignore[reportArgumentType]  # one of two
    assert copies_of(dataset, "perceptual") == ([0] * 9, [False] + [True] * 8)


def test_a_dataset_of_one_row_has_no_copy(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [[row_for(0, picture(1))]])
    main(ExactConfig(dataset=dataset))
    main(PerceptualConfig(dataset=dataset))
    for what in ("exact", "perceptual"):
        assert copies_of(dataset, what) == ([0], [False])


def test_a_dataset_whose_rows_all_failed_has_empty_tables(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [[row_for(0, None)]])
    main(ExactConfig(dataset=dataset))
    main(PerceptualConfig(dataset=dataset, hash="pdq"))
    for what in ("exact", "perceptual"):
        assert copies_of(dataset, what) == ([], [])


def test_a_picture_that_cannot_be_read_is_alone(tmp_path: Path) -> None:
    broken = row_for(1, picture(1)) | {"content": encoded(picture(1))[:40]}
    rows = [row_for(0, picture(1)), broken, row_for(2, picture(1))]
    dataset = write_dataset(tmp_path / "d", [rows])
    write_perceptual(PerceptualConfig(dataset=dataset, hash="pdq"))
    assert copies_of(dataset, "perceptual")[0] == [0, 1, 0]


def test_a_row_table_without_the_column_is_the_users_mistake(dataset: str) -> None:
    path = f"{dataset}/shards/00000001.parquet"
    pq.write_table(read_parquet(path).drop_columns(["phash"]), path)
    with pytest.raises(UserError, match=r"shard 00000001 .* has no column phash"):
        write_perceptual(PerceptualConfig(dataset=dataset))


def test_a_dataset_without_shards_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset at"):
        write_exact(ExactConfig(dataset=str(tmp_path)))
    empty = write_dataset(tmp_path / "d", [])
    with pytest.raises(UserError, match="no shards found"):
        write_exact(ExactConfig(dataset=empty))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"max_hamming": 9}, "--max-hamming must be 0–8 with --hash phash, got 9"),
        ({"max_hamming": 49, "hash": "pdq"}, "--max-hamming must be 0–48"),
        ({"keep": "best"}, "--keep best and --score belong together"),
        ({"score": "clip/a.similarity"}, "--keep best and --score belong together"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerceptualConfig(dataset="d", **flags)


def test_scores_of_other_rows_are_refused(dataset: str) -> None:
    write_scores(dataset, "clip", "m", similarity=[[0.1] * 3, [0.1] * 4])
    found = ScoreSet(dataset=dataset, kind="clip", name="m")
    found.write("00000001", read_parquet(found.path("00000001")).slice(1), "clip")
    config = ExactConfig(dataset=dataset, keep="best", score="clip.similarity")
    with pytest.raises(UserError, match="clip/m has other rows than shard 00000001"):
        write_exact(config)
