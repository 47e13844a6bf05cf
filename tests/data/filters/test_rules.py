from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagonal_data.config import CaptionLength, Duplicates, FiltersConfig, HoldOut, ImageShape
from diagonal_data.filters.rules import first_drop_reasons
from diagonal_data.schema import ROW_SCHEMA
from diagonal_infra.errors import UserError

FAR = 0x0F0F_3333_5555_00FF
"""A hash with half its bits set, so that it is not flat."""


def row(number: int = 0, **changes: object) -> dict:
    """A stored sample that no rule drops; `number` makes it another picture."""
    return {
        "uid": f"{number:032x}",
        "url": f"http://a/{number}",
        "caption": "a red bicycle",
        "status": "success",
        "reason": None,
        "original_width": 300,
        "original_height": 200,
        "sha256": f"{number:064x}",
        "phash": FAR ^ (number * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF),
    } | changes


def reasons(rows: list[dict], dataset: str = "no dataset", **rules: object) -> list[str]:
    table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
    config = FiltersConfig(dataset=dataset, name="n", **rules)  # pyright: ignore[reportArgumentType]  # rules by field name
    return list(first_drop_reasons(table, config))


def test_failed_rows_keep_their_own_reason() -> None:
    failed = row(1, status="failed", reason="timed_out", phash=None, sha256=None)
    assert reasons([row(), failed]) == ["", "timed_out"]


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("a red bicycle", ""),
        ("IMG_2041", "caption_too_short"),
        ("a b", "caption_too_short"),
        ("word " * 9, "caption_too_long"),
        ("x" * 20 + " " + "y" * 20, "caption_too_long"),
    ],
)
def test_caption_length(caption: str, reason: str) -> None:
    rule = CaptionLength(min_words=2, max_words=8, min_chars=4, max_chars=40)
    assert reasons([row(caption=caption)], caption=rule) == [reason]


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (200, 200, ""),
        (199, 900, "original_too_small"),
        (600, 200, ""),
        (601, 200, "aspect_too_wide"),
        (200, 601, "aspect_too_wide"),
    ],
)
def test_image_shape(width: int, height: int, reason: str) -> None:
    rule = ImageShape(min_side=200, max_aspect=3.0)
    assert reasons([row(original_width=width, original_height=height)], image=rule) == [reason]


def test_of_exact_duplicates_the_largest_original_stays_then_the_first() -> None:
    same = {"sha256": "f" * 64}
    rows = [row(1, **same), row(2, original_width=400, **same), row(3, original_width=400, **same)]
    assert reasons(rows) == ["exact_duplicate", "", "exact_duplicate"]


@pytest.mark.parametrize(
    ("bits", "reason"), [(0, "perceptual_duplicate"), (3, "perceptual_duplicate"), (4, "")]
)
def test_hashes_within_three_bits_are_duplicates_whichever_bits_differ(
    bits: int, reason: str
) -> None:
    spread = sum(1 << position for position in (2, 21, 40, 63)[:bits])
    assert reasons([row(1, phash=FAR), row(2, phash=FAR ^ spread)]) == ["", reason]


def test_a_chain_of_near_hashes_leaves_one() -> None:
    chain = [row(i, phash=FAR ^ ((1 << 2 * i) - 1)) for i in range(4)]
    assert reasons(chain) == ["", *["perceptual_duplicate"] * 3]


def test_flat_pictures_are_never_perceptual_duplicates() -> None:
    assert reasons([row(1, phash=1 << 63), row(2, phash=1 << 63)]) == ["", ""]


def test_a_copy_is_only_dropped_for_a_row_that_is_kept() -> None:
    same = {"sha256": "f" * 64}
    rows = [row(1, caption="x", original_width=900, **same), row(2, **same)]
    assert reasons(rows, caption=CaptionLength(min_chars=3)) == ["caption_too_short", ""]


def test_duplicate_rules_can_be_turned_off() -> None:
    rows = [row(1, sha256="f" * 64, phash=FAR), row(2, sha256="f" * 64, phash=FAR)]
    assert reasons(rows, duplicates=Duplicates(exact=False, max_hamming=-1)) == ["", ""]


def test_held_out_rows_are_named_by_url_or_uid(tmp_path: Path) -> None:
    listed = {
        "url": ["http://a/1", "http://a/2"],
        "style": [True, False],
        "concept": [False, False],
    }
    pq.write_table(pa.table(listed), tmp_path / "urls.parquet")
    pq.write_table(pa.table({"uid": [row(2)["uid"]]}), tmp_path / "uids.parquet")
    rows = [row(1), row(2), row(3)]
    by_url = HoldOut(list=str(tmp_path / "urls.parquet"), columns=("style", "concept"))
    assert reasons(rows, hold_out=by_url) == ["held_out", "", ""]
    by_uid = HoldOut(list=str(tmp_path / "uids.parquet"))
    assert reasons(rows, hold_out=by_uid) == ["", "held_out", ""]


def test_a_hold_out_list_that_cannot_be_used_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no hold-out list"):
        reasons([row()], hold_out=HoldOut(list=str(tmp_path / "absent.parquet")))
    pq.write_table(pa.table({"url": ["http://a/1"]}), tmp_path / "urls.parquet")
    with pytest.raises(UserError, match="lacks style"):
        reasons([row()], hold_out=HoldOut(list=str(tmp_path / "urls.parquet"), columns=("style",)))


@pytest.mark.parametrize(
    ("column", "value"),
    [("uid", row(1)["uid"]), ("url", "http://a/1"), ("host", "a"), ("sha256", f"{1:064x}")],
)
def test_tombstones_name_rows_by_uid_url_host_or_hash(
    tmp_path: Path, column: str, value: str
) -> None:
    pq.write_table(pa.table({column: [value, None]}), tmp_path / "tombstones.parquet")
    other = row(2, url="http://b/2")
    assert reasons([row(1), other], str(tmp_path)) == ["taken_down", ""]


def test_a_copy_of_what_was_taken_down_by_uid_is_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": [row(1)["uid"]]}), tmp_path / "tombstones.parquet")
    rows = [row(1, original_width=900, sha256="f" * 64), row(2, sha256="f" * 64)]
    assert reasons(rows, str(tmp_path)) == ["taken_down", ""]
