import numpy as np
import pytest

from diagonal_data.dedup.duplicates import near_copies
from diagonal_data.phash import hamming


@pytest.mark.parametrize("max_hamming", [0, 1, 3])
def test_banding_finds_what_comparing_all_pairs_finds(max_hamming: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 200, dtype=np.uint64)
    for copy in range(100):
        flips = rng.choice(64, size=rng.integers(0, 5), replace=False)
        hashes[100 + copy] = hashes[copy] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0)
        )
    areas = np.ones(len(hashes), dtype=np.int64)
    near = hamming(hashes[:, None], hashes[None, :]) <= max_hamming
    expected = np.array([near[row, :row].any() for row in range(len(hashes))])
    assert (near_copies(hashes, areas, max_hamming) == expected).all()
    assert expected.any()
