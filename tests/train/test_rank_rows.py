import pytest
import torch

from diagonal_infra.errors import UserError
from diagonal_train.rank_rows import RankRows, rank_rows


def test_each_rank_has_its_rows_behind_those_before_it() -> None:
    spans = [RankRows(counts=(3, 1, 4), rank=rank).own for rank in range(3)]
    assert spans == [slice(0, 3), slice(3, 4), slice(4, 8)]


def test_means_over_ranks_are_means_over_rows() -> None:
    rows = [[1.0, 2.0, 3.0], [10.0]]
    ranks = RankRows(counts=(3, 1), rank=0)
    assert sum(sum(own) / ranks.mean_count for own in rows) / 2 == 4.0


@pytest.mark.parametrize(("images", "texts"), [(3, 2), (0, 0)])
def test_sizes_that_cannot_be_are_named(images: int, texts: int) -> None:
    with pytest.raises(UserError, match=f"got {images} and {texts} on rank 0"):
        rank_rows(images, texts, torch.device("cpu"))
