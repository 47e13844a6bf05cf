from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from diagonal_data.filters.keep_list import (
    UID_DTYPE,
    filter_folder,
    pack_uids,
    read_keep_list,
    times_listed,
    write_keep_list,
)
from diagonal_infra.errors import UserError


def test_uids_are_packed_as_datacomp_packs_them() -> None:
    uid = "0123456789abcdef" + "fedcba9876543210"
    packed = pack_uids([uid])
    assert packed.dtype == UID_DTYPE
    assert tuple(packed[0]) == (int(uid[:16], 16), int(uid[16:], 16))


def test_the_keep_list_is_sorted_and_keeps_repeats(tmp_path: Path) -> None:
    uids = ["f" * 32, "0" * 32, "f" * 32]
    write_keep_list(f"{filter_folder(str(tmp_path), 'a')}/keep.npy", uids)
    kept = read_keep_list(str(tmp_path), "a")
    assert (kept == np.sort(pack_uids(uids), order=["f0", "f1"])).all()
    assert len(kept) == 3


def test_an_empty_keep_list_is_a_list(tmp_path: Path) -> None:
    write_keep_list(f"{filter_folder(str(tmp_path), 'a')}/keep.npy", [])
    assert len(read_keep_list(str(tmp_path), "a")) == 0


def test_an_unknown_filter_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no filter 'strict'"):
        read_keep_list(str(tmp_path), "strict")


def test_counts_agree_with_a_plain_count_where_upper_halves_collide() -> None:
    rng = np.random.default_rng(0)
    keep = rng.integers(0, 4, (300, 2)).astype("u8").view(UID_DTYPE).reshape(-1)
    wanted = rng.integers(0, 6, (200, 2)).astype("u8").view(UID_DTYPE).reshape(-1)
    counts = Counter(keep.tolist())
    expected = [counts[uid] for uid in wanted.tolist()]
    assert times_listed(wanted, np.sort(keep, order=["f0", "f1"])).tolist() == expected


def test_a_file_that_is_no_keep_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / "filters" / "a" / "keep.npy"
    path.parent.mkdir(parents=True)
    np.save(path, np.zeros(3))
    with pytest.raises(UserError, match="a keep list has dtype"):
        read_keep_list(str(tmp_path), "a")
