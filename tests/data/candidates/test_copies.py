import numpy as np
import pyarrow as pa

from diagonal_data.candidates.copies import copies, other_texts, row_hashes

ROWS = pa.table(
    {
        "url": ["long.jpg", "big.jpg", "b.jpg", "a.jpg", "a.jpg", "c.jpg", "alone.jpg"],
        "width_hint": pa.array([10, 20, None, None, None, None, 1], pa.int32()),
        "height_hint": pa.array([10, 20, 9, None, None, None, 1], pa.int32()),
        "page_url": ["p", "p", "q", "p1", "p2", "q", None],
        "texts": [["x"], ["x", "y"], [], None, ["z"], ["z"], ["x"]],
        "face_bboxes": pa.array([None, [[0.5]], None, None, None, None, []], None),
    }
)
FIRST = np.array([7, 7, 7, 8, 8, 8, 9], np.uint64)
SECOND = np.array([1, 1, 1, 2, 2, 3, 1], np.uint64)


def names_that_stay(order: np.ndarray) -> set[tuple[str, str]]:
    rows = ROWS.take(pa.array(order))
    mask = copies(FIRST[order], SECOND[order], rows, np.arange(len(order)))
    stay = rows.filter(pa.array(~mask))
    return set(zip(stay["url"].to_pylist(), stay["page_url"].to_pylist(), strict=True))


def test_of_copies_the_largest_stays() -> None:
    stay = {url for url, _ in names_that_stay(np.arange(7))}
    assert stay == {"big.jpg", "a.jpg", "c.jpg", "alone.jpg"}


def test_the_order_of_rows_does_not_matter() -> None:
    dice = np.random.default_rng(0)
    expected = names_that_stay(np.arange(7))
    assert all(names_that_stay(dice.permutation(7)) == expected for _ in range(20))


def test_of_copies_of_unknown_size_the_shortest_url_stays() -> None:
    rows = pa.table(
        {
            "url": ["https://a.org/x.jpg?a=b", "https://a.org/x.jpg"],
            "width_hint": pa.nulls(2, pa.int32()),
            "height_hint": pa.nulls(2, pa.int32()),
        }
    )
    same = np.array([1, 1], np.uint64)
    assert copies(same, same, rows, np.array([0, 1])).tolist() == [True, False]


def test_hashes_look_at_every_column() -> None:
    base = {"url": ["u"], "texts": [["a", "b"]], "width_hint": [1]}
    variants = [
        base,
        base | {"url": ["v"]},
        base | {"texts": [["ab"]]},
        base | {"width_hint": pa.array([None], pa.int64())},
    ]
    assert len({row_hashes(pa.table(variant))[0] for variant in variants}) == len(variants)


def test_one_text_of_each_image_stays_the_one_with_the_lowest_lot() -> None:
    keys, lots = np.array([5, 6, 5, 5], np.uint64), np.array([9, 1, 3, 4], np.uint64)
    assert other_texts(keys, lots).tolist() == [True, False, False, True]
