from itertools import combinations

import numpy as np
import pytest

from diagonal_data.dedup.near_hashes import NearHashes, plan_bands

ROWS = 300


def planted(words: int, max_flips: int) -> np.ndarray:
    """Random hashes, each followed by a copy in which up to `max_flips` bits differ."""
    rng = np.random.default_rng(words)
    hashes = rng.integers(0, 1 << 64, (ROWS, words), dtype=np.uint64)
    changed = hashes.copy()
    for row in range(ROWS):
        for bit in rng.choice(64 * words, rng.integers(0, max_flips + 1), replace=False):
            changed[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return np.concatenate([hashes, changed])


def differing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.bitwise_count(first[:, None] ^ second[None]).sum(axis=2)


@pytest.mark.parametrize(
    ("words", "max_hamming"), [*((1, bits) for bits in range(9)), (4, 0), (4, 10), (4, 31)]
)
def test_all_pairs_within_the_distance_are_found_and_no_others(
    words: int, max_hamming: int
) -> None:
    hashes = planted(words, max_hamming + 2)
    found = {}
    for left, right, bits in NearHashes(hashes, max_hamming).pairs():
        for i, j, k in zip(left.tolist(), right.tolist(), bits.tolist(), strict=True):
            found[min(i, j), max(i, j)] = k
    apart = differing(hashes, hashes)
    near = np.argwhere(np.triu(apart <= max_hamming, 1)).tolist()
    assert found == {(i, j): apart[i, j] for i, j in near}
    assert len(found) > ROWS // 4


@pytest.mark.parametrize("max_hamming", [0, 3, 8])
def test_pairs_of_two_sets_are_those_of_comparing_all(max_hamming: int) -> None:
    hashes, others = np.split(planted(1, max_hamming + 2), 2)
    others = others[:200]
    found = set()
    for left, right, _ in NearHashes(hashes, max_hamming).pairs_with(others):
        found |= set(zip(left.tolist(), right.tolist(), strict=True))
    near = np.argwhere(differing(others, hashes) <= max_hamming)
    assert found == {(i, j) for i, j in near.tolist()}
    assert found


def test_hashes_that_crowd_into_one_band_are_all_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diagonal_data.dedup.near_hashes.MAX_PAIRS_AT_ONCE", 100)
    close = np.arange(64, dtype=np.uint64)
    found = sum(len(left) for left, _, _ in NearHashes(close, 0).pairs())
    assert found == 0
    pairs = {
        (min(i, j), max(i, j))
        for left, right, _ in NearHashes(close, 6).pairs()
        for i, j in zip(left.tolist(), right.tolist(), strict=True)
    }
    assert pairs == set(combinations(range(64), 2))


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_hashes_have_no_pairs(rows: int) -> None:
    assert list(NearHashes(np.zeros(rows, np.uint64), 3).pairs()) == []


@pytest.mark.parametrize("num_bits", [64, 256])
@pytest.mark.parametrize("rows", [100, 1_000_000])
def test_the_plan_leaves_no_pair_a_way_around(num_bits: int, rows: int) -> None:
    for max_hamming in range(32 if num_bits == 256 else 9):
        bands = plan_bands(num_bits, max_hamming, rows, rows)
        # A pair that no band finds differs in radius + 1 bits of each.
        assert sum(band.radius + 1 for band in bands) > max_hamming
        bits = [bit for band in bands for bit in band.bits]
        assert len(set(bits)) == len(bits)
