import random

import numpy as np
import pyarrow as pa
import pytest

from diagonal_data.uid_set import MalformedUidError, UidSet, packed_uids


def uid(number: int) -> str:
    return f"{number:032x}"


def test_it_says_what_is_new_as_a_python_set_does() -> None:
    rng = random.Random(0)
    known, expected = UidSet(), set()
    for _ in range(200):
        # Few numbers, so that most are met again; zeros at both ends, which bytes may lose.
        batch = [
            uid(rng.randrange(3_000) << 8 * rng.randrange(15)) for _ in range(rng.randrange(80))
        ]
        new = []
        for text in batch:
            new.append(text not in expected)
            expected.add(text)
        assert known.add(packed_uids(pa.array(batch, pa.string()))).tolist() == new
        assert len(known) == len(expected)


def test_of_equals_in_one_batch_the_first_is_new() -> None:
    batch = packed_uids(pa.array([uid(n) for n in (5, 3, 5, 3, 4)]))
    assert UidSet().add(batch).tolist() == [True, True, False, False, True]


def test_many_batches_leave_few_arrays() -> None:
    known = UidSet()
    for start in range(0, 4_096, 8):
        known.add(packed_uids(pa.array([uid(n * 7_919 % 65_536) for n in range(start, start + 8)])))
    assert len(known) == 4_096
    assert len(known._arrays) <= 12


def test_packing_gives_the_bytes_of_the_digits() -> None:
    texts = [uid(0), uid(1), "0123456789abcdefABCDEF0123456789", "f" * 32]
    expected = [bytes.fromhex(text) for text in texts]
    for kind in (pa.string(), pa.large_string()):
        column = pa.array(["x", *texts, "y"], kind)[1:-1]
        packed = packed_uids(pa.chunked_array([column[:1], column[1:1], column[1:]]))
        assert np.ascontiguousarray(packed).view(np.uint8).tobytes() == b"".join(expected)
    assert len(packed_uids(pa.array([], pa.string()))) == 0


@pytest.mark.parametrize(
    "wrong", [None, "", "f" * 31, "f" * 33, "g" * 32, "é" * 16, " " + "f" * 31]
)
def test_what_is_not_32_hex_digits_is_refused_by_name(wrong: str | None) -> None:
    with pytest.raises(MalformedUidError, match=repr(wrong)):
        packed_uids(pa.array([uid(1), wrong], pa.string()))
