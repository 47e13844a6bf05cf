import numpy as np
import pytest

from diagonal_data.dedup.duplicates import near_clusters, near_copies
from diagonal_data.phash import hamming


@pytest.mark.parametrize("max_hamming", [0, 1, 3, 8])
def test_bands_find_what_comparing_all_pairs_finds(max_hamming: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 200, dtype=np.uint64)
    for copy in range(100):
        flips = rng.choice(64, size=rng.integers(0, max_hamming + 3), replace=False)
        hashes[100 + copy] = hashes[copy] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0)
        )
    areas = np.ones(len(hashes), dtype=np.int64)
    near = hamming(hashes[:, None], hashes[None, :]) <= max_hamming
    expected = np.array([near[row, :row].any() for row in range(len(hashes))])
    assert (near_copies(hashes, areas, max_hamming) == expected).all()
    assert expected.any()


def test_rows_that_cannot_be_compared_are_alone_whatever_their_hash() -> None:
    hashes = np.full(5, 0x123456789ABCDEF0, np.uint64)
    comparable = np.array([True, False, True, False, True])
    assert near_clusters(hashes, comparable, 3).tolist() == [0, 1, 0, 3, 0]


def test_a_million_equal_hashes_are_one_cluster_at_once() -> None:
    hashes = np.full(1_000_000, 0x123456789ABCDEF0, np.uint64)
    assert not near_clusters(hashes, np.ones(len(hashes), bool), 8).any()
