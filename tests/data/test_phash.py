import numpy as np

from diagonal_data.phash import hamming, is_flat, phash


def test_a_smaller_copy_has_nearly_the_same_hash(make_picture) -> None:
    original = make_picture(1, (400, 300))
    copy = original.resize((200, 150))
    first, second = np.array(
        [[phash(np.asarray(original))], [phash(np.asarray(copy))]], dtype=np.uint64
    )
    assert hamming(first, second)[0] <= 2


def test_different_pictures_differ_in_many_bits(make_picture) -> None:
    hashes = np.array(
        [phash(np.asarray(make_picture(seed))) for seed in range(20)], dtype=np.uint64
    )
    distances = hamming(hashes[:, None], hashes[None, :])[np.triu_indices(20, 1)]
    assert distances.min() > 10


def test_the_hash_of_a_half_bright_picture_is_known() -> None:
    # Bright left half: only horizontal frequencies differ from zero, so only the first row can
    # hold set bits, and the first of them is the mean brightness.
    pixels = np.zeros((64, 64), dtype=np.uint8)
    pixels[:, :32] = 255
    bits = f"{phash(pixels):064b}"
    assert bits[0] == "1"
    assert "1" not in bits[8:]


def test_a_flat_picture_is_recognised() -> None:
    grey = np.full((50, 50, 3), 90, dtype=np.uint8)
    assert is_flat(np.array([phash(grey)], dtype=np.uint64)).all()
