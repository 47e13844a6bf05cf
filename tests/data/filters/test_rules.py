from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.filters.datasets import (
    FAR,
    failed,
    pool_of,
    reasons_of,
    row,
    write_dataset,
    write_scores,
)

from diagonal_data.filters.config import (
    CaptionLength,
    Duplicates,
    HoldOut,
    ImageShape,
    Language,
    Similarity,
)
from diagonal_infra.errors import UserError

ON = Duplicates()


def reasons(folder: Path, rows: list[dict], **rules: object) -> list[str]:
    return reasons_of(pool_of(write_dataset(folder, [rows]), **rules))


def test_failed_rows_keep_their_own_reason(tmp_path: Path) -> None:
    assert reasons(tmp_path, [row(), failed(1)]) == ["", "timed_out"]


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("a red bicycle", ""),
        ("IMG_2041", "caption_too_short"),
        ("a b", "caption_too_short"),
        ("word " * 9, "caption_too_long"),
        ("x" * 20 + " " + "y" * 20, "caption_too_long"),
        ("日本 の自転車", ""),
    ],
)
def test_caption_length(tmp_path: Path, caption: str, reason: str) -> None:
    rule = CaptionLength(min_words=2, max_words=8, min_chars=4, max_chars=40)
    assert reasons(tmp_path, [row(caption=caption)], caption=rule) == [reason]


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (200, 200, ""),
        (199, 900, "original_too_small"),
        (600, 200, ""),
        (601, 200, "aspect_too_wide"),
        (200, 601, "aspect_too_wide"),
        (None, None, "original_too_small"),
    ],
)
def test_image_shape(tmp_path: Path, width: int, height: int, reason: str) -> None:
    rule = ImageShape(min_side=200, max_aspect=3.0)
    sample = row(original_width=width, original_height=height)
    assert reasons(tmp_path, [sample], image=rule) == [reason]


def test_of_exact_duplicates_the_largest_original_stays_then_the_first(tmp_path: Path) -> None:
    same = {"sha256": "f" * 64}
    rows = [row(1, **same), row(2, original_width=400, **same), row(3, original_width=400, **same)]
    assert reasons(tmp_path, rows, duplicates=ON) == ["exact_duplicate", "", "exact_duplicate"]


def test_samples_without_a_hash_are_no_copies(tmp_path: Path) -> None:
    rows = [row(1, sha256=None, phash=None), row(2, sha256=None, phash=None)]
    assert reasons(tmp_path, rows, duplicates=ON) == ["", ""]


@pytest.mark.parametrize(
    ("bits", "reason"), [(0, "perceptual_duplicate"), (3, "perceptual_duplicate"), (4, "")]
)
def test_hashes_within_three_bits_are_duplicates_whichever_bits_differ(
    tmp_path: Path, bits: int, reason: str
) -> None:
    spread = sum(1 << position for position in (2, 21, 40, 63)[:bits])
    rows = [row(1, phash=FAR), row(2, phash=FAR ^ spread)]
    assert reasons(tmp_path, rows, duplicates=ON) == ["", reason]


def test_a_chain_of_near_hashes_leaves_one(tmp_path: Path) -> None:
    chain = [row(i, phash=FAR ^ ((1 << 2 * i) - 1)) for i in range(4)]
    assert reasons(tmp_path, chain, duplicates=ON) == ["", *["perceptual_duplicate"] * 3]


def test_flat_pictures_are_never_perceptual_duplicates(tmp_path: Path) -> None:
    rows = [row(1, phash=1 << 63), row(2, phash=1 << 63)]
    assert reasons(tmp_path, rows, duplicates=ON) == ["", ""]


def test_a_copy_is_only_dropped_for_a_row_that_is_kept(tmp_path: Path) -> None:
    same = {"sha256": "f" * 64}
    rows = [row(1, caption="x", original_width=900, **same), row(2, **same)]
    rule = CaptionLength(min_chars=3)
    assert reasons(tmp_path, rows, caption=rule, duplicates=ON) == ["caption_too_short", ""]


def test_duplicate_rules_can_be_turned_off(tmp_path: Path) -> None:
    rows = [row(1, sha256="f" * 64, phash=FAR), row(2, sha256="f" * 64, phash=FAR)]
    assert reasons(tmp_path, rows, duplicates=Duplicates(exact=False, max_hamming=-1)) == ["", ""]


def test_one_picture_with_one_caption_stays_once(tmp_path: Path) -> None:
    rows = [row(1, phash=FAR), row(2, phash=FAR), row(3, phash=FAR, caption="another text")]
    rule = Duplicates(exact=False, max_hamming=-1, with_caption=True)
    assert reasons(tmp_path, rows, duplicates=rule) == ["", "picture_and_caption_duplicate", ""]


def test_held_out_rows_are_named_by_url_or_uid(tmp_path: Path) -> None:
    listed = {
        "url": ["http://a/1", "http://a/2", None],
        "style": [True, False, True],
        "concept": [False, False, False],
    }
    pq.write_table(pa.table(listed), tmp_path / "urls.parquet")
    pq.write_table(pa.table({"uid": [row(2)["uid"]]}), tmp_path / "uids.parquet")
    rows = [row(1), row(2), row(3)]
    by_url = HoldOut(list=str(tmp_path / "urls.parquet"), columns=("style", "concept"))
    assert reasons(tmp_path, rows, hold_out=by_url) == ["held_out", "", ""]
    by_uid = HoldOut(list=str(tmp_path / "uids.parquet"))
    assert reasons(tmp_path, rows, hold_out=by_uid) == ["", "held_out", ""]


def test_a_hold_out_list_that_cannot_be_used_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file at .*--hold-out\.list"):
        reasons(tmp_path, [row()], hold_out=HoldOut(list=str(tmp_path / "absent.parquet")))
    pq.write_table(pa.table({"url": ["http://a/1"]}), tmp_path / "urls.parquet")
    rule = HoldOut(list=str(tmp_path / "urls.parquet"), columns=("style",))
    with pytest.raises(UserError, match="lacks style"):
        reasons(tmp_path, [row()], hold_out=rule)


@pytest.mark.parametrize(
    ("column", "value"),
    [("uid", row(1)["uid"]), ("url", "http://a/1"), ("host", "a"), ("sha256", f"{1:064x}")],
)
def test_tombstones_name_rows_by_uid_url_host_or_hash(
    tmp_path: Path, column: str, value: str
) -> None:
    pq.write_table(pa.table({column: [value, None]}), tmp_path / "tombstones.parquet")
    other = row(2, url="http://b/2")
    assert reasons(tmp_path, [failed(3), row(1), other]) == ["timed_out", "taken_down", ""]


def test_a_copy_of_what_was_taken_down_by_uid_is_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": [row(1)["uid"]]}), tmp_path / "tombstones.parquet")
    rows = [row(1, original_width=900, sha256="f" * 64), row(2, sha256="f" * 64)]
    assert reasons(tmp_path, rows, duplicates=ON) == ["taken_down", ""]


def test_only_the_latest_fetch_of_a_candidate_counts(tmp_path: Path) -> None:
    first = [row(1), failed(2), failed(3), row(4, caption="x")]
    dataset = write_dataset(tmp_path, [first, [row(2), failed(3, "not_found")]], passes=[0, 1])
    write_scores(dataset, "clip/m", {"similarity": [0.1, 0.4, 0.2]})
    pool = pool_of(
        dataset, where=("low: clip_similarity > 0.15",), caption=CaptionLength(min_chars=2)
    )
    assert reasons_of(pool) == ["low", "caption_too_short", "", "not_found"]


def test_languages_come_from_a_score_column_or_the_row_table(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[row(1, lang="de"), row(2, lang="en"), row(3)]])
    write_scores(dataset, "text/lid", {"lang": ["en", "de", None]})
    by_score = pool_of(dataset, language=Language(keep=("en", "fr")))
    assert reasons_of(by_score) == ["", "wrong_language", "wrong_language_unknown"]
    by_row = pool_of(dataset, language=Language(keep=("en",), column="lang"))
    assert reasons_of(by_row) == ["wrong_language", "", "wrong_language_unknown"]


def test_a_limit_on_a_score_is_met_by_the_score_that_equals_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[row(i) for i in range(4)]])
    narrow = pa.array([0.28, 0.2799, float("nan"), 0.5], pa.float32())
    write_scores(dataset, "clip/m", {"similarity": narrow})
    pool = pool_of(dataset, similarity=Similarity(score="clip.similarity", at_least=0.28))
    assert reasons_of(pool) == ["", "similarity_too_low", "similarity_too_low_unknown", ""]


def test_the_first_condition_that_fails_names_the_reason(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[row(1), row(2, original_width=10), row(3, licence="x")]])
    conditions = ("wide: original_width > 20", "licence IS NULL AND original_height > 10")
    assert reasons_of(pool_of(dataset, where=conditions)) == ["", "wide", "not: licence IS NULL"]


def test_a_threshold_without_a_score_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="need --score"):
        reasons(tmp_path, [row()], similarity=Similarity(top=0.5))
