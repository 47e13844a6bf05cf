import numpy as np

from diagonal_data.candidates.hash_table import HashTable, Sieve

ABSENT = np.uint64(2**32 - 1)


def test_each_key_has_its_value_and_others_have_none() -> None:
    dice = np.random.default_rng(0)
    keys = np.unique(dice.integers(0, 2**56, 20_000).astype(np.uint64))
    dice.shuffle(keys)
    values = dice.integers(0, 2**63, len(keys)).astype(np.uint64)
    half = len(keys) // 2
    table = HashTable(keys[:half], values[:half], ABSENT)
    expected = np.where(np.arange(len(keys)) < half, values, ABSENT)
    assert (table.find(keys) == expected).all()


def test_keys_in_rows_are_found_at_once() -> None:
    # All that differs is in the upper half, as in edges from many states by one word.
    keys = np.arange(50_000, dtype=np.uint64) << np.uint64(32)
    table = HashTable(keys, keys + np.uint64(1), ABSENT)
    assert (table.find(keys) == keys + np.uint64(1)).all()


def test_an_empty_table_finds_nothing() -> None:
    nothing = np.zeros(0, np.uint64)
    keys = np.array([0, 1, 2**55], np.uint64)
    assert (HashTable(nothing, nothing, ABSENT).find(keys) == ABSENT).all()
    assert len(HashTable(keys, keys, ABSENT).find(nothing)) == 0


def test_a_sieve_lets_its_keys_pass_and_few_others() -> None:
    keys = np.random.default_rng(0).integers(0, 2**56, 60_000).astype(np.uint64)
    passing = Sieve(keys[:30_000]).passing(keys)
    assert (passing[:30_000] == np.arange(30_000)).all()
    assert len(passing) < 30_000 * 1.05
    assert len(Sieve(keys[:0]).passing(keys)) == 0
