import numpy as np

from diagonal_data.dedup.clusters import Clusters, copies


def naive_labels(size: int, pairs: list[tuple[int, int]]) -> list[int]:
    labels = list(range(size))
    for _ in range(size):
        for i, j in pairs:
            labels[i] = labels[j] = min(labels[i], labels[j])
    return labels


def test_clusters_are_those_of_a_naive_search_whatever_the_calls() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = rng.integers(0, 60, (rng.integers(0, 50), 2))
        clusters = Clusters(60)
        for part in np.array_split(pairs, 3):
            clusters.join(part[:, 0], part[:, 1])
        expected = naive_labels(60, [(int(i), int(j)) for i, j in pairs])
        assert clusters.labels().tolist() == expected


def test_a_long_chain_in_any_order_is_one_cluster() -> None:
    order = np.random.default_rng(0).permutation(99_999)
    clusters = Clusters(100_000)
    clusters.join(order + 1, order)
    assert (clusters.labels() == 0).all()


def test_the_highest_of_a_cluster_stays_then_the_first_and_nan_is_lowest() -> None:
    clusters = np.array([0, 0, 0, 3, 3, 5, 6, 6])
    preference = np.array([1.0, 2.0, 2.0, np.nan, -1.0, np.nan, np.nan, np.nan])
    assert copies(clusters, preference).tolist() == [
        *(True, False, True),
        *(True, False),
        False,
        *(False, True),
    ]
