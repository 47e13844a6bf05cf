"""DataComp's rules, re-stated slowly as released, select the same uids on a pool in its format.

The rules: `baselines/apply_filter.py` of DataComp (Gadre et al., 2023), basic_filter and the
thresholds of clip_score. The language is that of a stand-in for fastText, the same on both sides.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.data.filters.datasets import pool_of, reasons_of, row, write_dataset, write_scores

from diagonal_data.filters.__main__ import write_filter
from diagonal_data.filters.config import FiltersConfig, Similarity
from diagonal_data.filters.keep_list import read_keep_list
from diagonal_data.filters.recipes import FILTERS
from diagonal_infra.errors import UserError

COUNT = 3000
U8U8 = np.dtype("u8,u8")


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    """Metadata as DataComp's, with sizes, captions and scores on both sides of every limit."""
    rng = np.random.default_rng(0)
    words = ["a", "red", "bike", "\u3000", "", "é", "photo\u00a0of", "日本", "  ", "x\ty"]
    captions = [" ".join(rng.choice(words, rng.integers(0, 6))) for _ in range(COUNT)]
    scores = (rng.integers(150, 400, (2, COUNT)) / 1000).astype(np.float32)
    return pd.DataFrame(
        {
            "uid": [rng.bytes(16).hex() for _ in range(COUNT)],
            "url": [f"http://h/{i}" for i in range(COUNT)],
            "text": captions,
            "original_width": rng.choice([100, 199, 200, 201, 300, 600, 601, 602, 1800], COUNT),
            "original_height": rng.choice([100, 199, 200, 201, 300, 600, 603, 1801], COUNT),
            "clip_b32_similarity_score": scores[0],
            "clip_l14_similarity_score": scores[1],
        }
    )


@pytest.fixture(scope="module")
def dataset(pool: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same pool as a dataset of ours."""
    rows = [
        row(
            i,
            uid=sample["uid"],
            url=sample["url"],
            caption=sample["text"],
            original_width=sample["original_width"],
            original_height=sample["original_height"],
        )
        for i, sample in enumerate(pool.to_dict("records"))
    ]
    folder = write_dataset(tmp_path_factory.mktemp("pool"), [rows[:1100], rows[1100:]])
    write_scores(folder, "text/lid", {"lang": [language(text) for text in pool["text"]]})
    for model in ("b32", "l14"):
        column = pa.array(pool[f"clip_{model}_similarity_score"].to_numpy())
        write_scores(folder, f"clip/{model}", {"similarity": column})
    return folder


def language(text: str) -> str:
    return "en" if len(text) % 5 else "fr"


def as_subset(uids: Iterable[str]) -> np.ndarray:
    subset = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], U8U8)
    subset.sort()
    return subset


def datacomp_basic(pool: pd.DataFrame) -> np.ndarray:
    english = pool["text"].apply(language) == "en"
    captions = (pool["text"].apply(lambda text: len(text.split())) > 2) & (
        pool["text"].apply(len) > 5
    )
    smaller = np.minimum(pool["original_width"], pool["original_height"])
    larger = np.maximum(pool["original_width"], pool["original_height"])
    images = (smaller >= 200) & (larger / smaller <= 3.0)
    return as_subset(pool.loc[english & captions & images, "uid"])


def datacomp_score(pool: pd.DataFrame, column: str, fraction: float) -> np.ndarray:
    falling = -np.sort(-pool[column].to_numpy())
    return as_subset(pool.loc[pool[column] >= falling[int(len(pool) * fraction)], "uid"])


def kept_by(recipe: str, dataset: str, **changes: object) -> np.ndarray:
    config = FILTERS[recipe]()
    assert isinstance(config, FiltersConfig)
    settings = vars(config) | {"dataset": dataset, "name": recipe, "samples_in_report": 0}
    write_filter(FiltersConfig(**settings | changes))  # pyright: ignore[reportArgumentType]  # fields by name
    return read_keep_list(dataset, recipe)


def test_datacomp_basic_selects_what_datacomps_code_selects(
    dataset: str, pool: pd.DataFrame
) -> None:
    expected = datacomp_basic(pool)
    assert 100 < len(expected) < COUNT / 2
    assert (kept_by("datacomp_basic", dataset) == expected).all()


@pytest.mark.parametrize("model", ["b32", "l14"])
def test_clip_score_30_selects_what_datacomps_code_selects(
    dataset: str, pool: pd.DataFrame, model: str
) -> None:
    expected = datacomp_score(pool, f"clip_{model}_similarity_score", 0.3)
    similarity = Similarity(score=f"clip/{model}.similarity", top=0.3)
    assert (kept_by("clip_score_30", dataset, similarity=similarity) == expected).all()


def test_laion_2b_en_has_the_published_limits(dataset: str, pool: pd.DataFrame) -> None:
    chosen = pool["text"].apply(lambda t: len(t) >= 5 and language(t) == "en")
    chosen &= pool["clip_b32_similarity_score"] >= 0.28
    similarity = Similarity(score="clip/b32.similarity", at_least=0.28)
    kept = kept_by("laion_2b_en", dataset, similarity=similarity)
    assert (kept == as_subset(pool.loc[chosen, "uid"])).all()


def test_coyo_drops_by_every_rule(tmp_path: Path) -> None:
    good = "a red old bicycle"
    rows = [
        row(0, caption=good),
        row(1, caption="two words"),
        row(2, caption=good + " 2", original_width=199),
        row(3, caption=good + " 3"),
        row(4, caption=good + " 4"),
        row(5, caption=good + " 5"),
        *(row(i, caption="a frequent caption") for i in range(6, 17)),
        *(row(i, caption=good + " twice", phash=12345) for i in (17, 18)),
    ]
    dataset = write_dataset(tmp_path, [rows])
    count = len(rows)
    write_scores(dataset, "text/lid", {"lang": ["en"] * 3 + ["de"] + ["en"] * (count - 4)})
    write_scores(dataset, "safety/n", {"nsfw": [0.5] * 4 + [0.6] + [0.1] * (count - 5)})
    write_scores(dataset, "eval_near/e", {"is_near": [i == 5 for i in range(count)]})
    config = FILTERS["coyo"]()
    assert isinstance(config, FiltersConfig)
    settings = {k: v for k, v in vars(config).items() if k not in ("dataset", "name")}
    assert reasons_of(pool_of(dataset, **settings)) == [
        *("", "caption_too_short", "original_too_small", "wrong_language", "nsfw"),
        "near_evaluation_set",
        *["frequent_caption"] * 11,
        *("", "picture_and_caption_duplicate"),
    ]


@pytest.mark.parametrize(
    ("recipe", "needs"),
    [
        ("datacomp_basic", r"scores text --dataset"),
        ("clip_score_30", r"scores clip --dataset"),
        ("coyo", r"scores text --dataset"),
        ("metaclip", r"scores text --dataset"),
        ("image_based", r"scores text --dataset"),
    ],
)
def test_a_recipe_without_its_scores_names_the_command_that_makes_them(
    tmp_path: Path, recipe: str, needs: str
) -> None:
    dataset = write_dataset(tmp_path, [[row()]])
    with pytest.raises(UserError, match=needs):
        kept_by(recipe, dataset)
