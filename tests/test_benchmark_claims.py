"""The models that the paper's claims are tried against, how all are judged, and the page."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from claims import arms, exam, page, plots, prediction, table
from diagonal_train.streaming.tokenize import ClipTokenizer

ROOT = Path(__file__).parent.parent
CAPTIONS = ["an emoji of red apple", "green apple emoji", "a drawing of red red car", "dog"]
TOKENIZER = ClipTokenizer(16)
WIDTH = 6


@pytest.fixture
def vocabulary() -> prediction.Vocabulary:
    return prediction.Vocabulary(TOKENIZER, CAPTIONS)


@pytest.fixture
def words(vocabulary: prediction.Vocabulary) -> prediction.WordPredictor:
    torch.manual_seed(0)
    return prediction.WordPredictor(nn.Identity(), WIDTH, vocabulary)


@pytest.fixture
def captions(vocabulary: prediction.Vocabulary) -> prediction.CaptionPredictor:
    torch.manual_seed(0)
    return prediction.CaptionPredictor(nn.Identity(), WIDTH, vocabulary, 16).eval()


def learn(loss: Callable[[], Tensor], predictor: nn.Module) -> None:
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def test_the_vocabulary_is_that_of_the_captions_and_the_end_its_last(
    vocabulary: prediction.Vocabulary,
) -> None:
    # an emoji of red apple green a drawing car dog; start, end, padding
    assert vocabulary.size == 10 + 3
    numbers_CT = vocabulary.read(["red zebra"])
    assert numbers_CT.max() == numbers_CT[0, 3] == vocabulary.size - 1
    assert numbers_CT[0, 2] == numbers_CT[0, 5] == 0, "an unknown word is padding"


def test_each_word_of_a_caption_counts_once_and_start_and_end_do_not(
    vocabulary: prediction.Vocabulary,
) -> None:
    shares_BV = prediction.word_shares(vocabulary.read(CAPTIONS), vocabulary.size)
    assert shares_BV.sum(1).tolist() == pytest.approx([1, 1, 1, 1])
    assert (shares_BV > 0).sum(1).tolist() == [5, 3, 5, 1]
    red = vocabulary.read(["red"])[0, 1]
    assert shares_BV[2, red] == pytest.approx(1 / 5)


def test_the_loss_over_words_is_the_mean_surprise_at_each(
    words: prediction.WordPredictor,
) -> None:
    features_BD = torch.randn(2, WIDTH)
    numbers_BT = words.vocabulary.read(["red apple", "dog"])
    log_p_BV = words.head(features_BD).log_softmax(1)
    first = -(log_p_BV[0, numbers_BT[0, 1]] + log_p_BV[0, numbers_BT[0, 2]]) / 2
    second = -log_p_BV[1, numbers_BT[1, 1]]
    torch.testing.assert_close(words.loss(features_BD, numbers_BT), (first + second) / 2)


def test_a_caption_is_as_likely_as_its_tokens_one_by_one(
    captions: prediction.CaptionPredictor,
) -> None:
    features_BD = torch.randn(2, WIDTH)
    numbers_BT = captions.vocabulary.read(["red apple emoji", "dog"])
    naive = []
    for feature_D, numbers_T in zip(features_BD, numbers_BT, strict=True):
        total = torch.tensor(0.0)
        for place in range(1, int(numbers_T.argmax()) + 1):
            seen_T = numbers_T[:place]
            x_TW = captions.token_embedding(seen_T) + captions.positional_embedding[:place]
            x_1TW = (x_TW + captions.image_projection(feature_D))[None]
            hidden_TT = torch.ones(place, place, dtype=torch.bool).triu(1)
            for block in captions.blocks:
                x_1TW = block(x_1TW, src_mask=hidden_TT)
            log_p_V = captions.head(captions.norm(x_1TW[0, -1])).log_softmax(0)
            total = total + log_p_V[numbers_T[place]]
        naive.append(total)
    found_B = captions.log_likelihood(features_BD, numbers_BT)
    torch.testing.assert_close(found_B, torch.stack(naive), rtol=1e-5, atol=1e-5)
    per_token = -found_B.sum() / (4 + 2)
    torch.testing.assert_close(captions.loss(features_BD, numbers_BT), per_token)


def test_names_are_scored_by_their_likelihood_whatever_their_lengths(
    captions: prediction.CaptionPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "SEQUENCES", 3)
    names, features_ND = ["dog", "red car", "apple", "green apple emoji"], torch.randn(5, WIDTH)
    scores_NC = captions.scores(features_ND, names)
    for column, name in enumerate(names):
        numbers_BT = captions.vocabulary.read([name]).repeat(5, 1)
        expected_N = captions.log_likelihood(features_ND, numbers_BT)
        torch.testing.assert_close(scores_NC[:, column], expected_N, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["words", "captions"])
def test_what_was_trained_on_scores_best(kind: str, request: pytest.FixtureRequest) -> None:
    predictor: prediction.Predictor = request.getfixturevalue(kind)
    names = ["red apple", "green apple", "dog", "car"]
    features_BD, numbers_BT = torch.eye(4, WIDTH), predictor.vocabulary.read(names)
    learn(lambda: predictor.loss(features_BD, numbers_BT), predictor)
    with torch.inference_mode():
        ranks_N = exam.ranks(predictor.scores(features_BD, names), torch.arange(4))
    assert ranks_N.tolist() == [0, 0, 0, 0]


def test_ties_and_broken_scores_count_against_the_model() -> None:
    scores_NC = torch.tensor([[0.1, 0.9, 0.3], [0.5, 0.5, 0.1], [torch.nan] * 3])
    assert exam.ranks(scores_NC, torch.tensor([1, 0, 0])).tolist() == [0, 1, 2]


class Biased:
    """Knows every answer, but favours the first name of any list."""

    judges_all = True

    def features(self, images_NCHW: Tensor) -> Tensor:
        return images_NCHW[:, 0, 0, :1]

    def scores(self, features_ND: Tensor, names: Sequence[str]) -> Tensor:
        shades_C = torch.tensor([int(n) for n in names])
        levels_C = exam.normalised(shades_C[:, None, None, None].repeat(1, 3, 1, 1))
        scores_NC = -(features_ND - levels_C[:, 0, 0, :1].T).abs()
        scores_NC[:, 0] += 100
        return scores_NC


def test_a_favoured_name_does_not_spoil_the_centred_measure() -> None:
    truth_N = np.arange(30)
    images_NCHW = torch.from_numpy(truth_N.astype(np.uint8))[:, None, None, None].expand(
        -1, 3, 1, 1
    )
    questions = exam.plan_exam(images_NCHW, truth_N, [str(number) for number in range(30)])
    assert len(questions.lists) == exam.LISTS
    assert questions.lists[3].names == ("3", "13", "23")
    assert questions.lists[3].rows_N.tolist() == [3, 13, 23]
    marks = exam.judge(Biased(), questions)
    assert marks["top1"] == pytest.approx(1 / 3)
    assert marks["top1_of_all"] == pytest.approx(1 / 30)
    assert marks["top1_centred"] == pytest.approx(1)


def test_every_arm_sees_as_many_samples_and_is_judged_at_the_end() -> None:
    for arm in arms.ARMS.values():
        config = arms.config_for(arm, samples=51_200, seed=1, data="d", run="r")
        assert config.total_steps * config.global_batch_size == 51_200
        assert config.optimizer.warmup_steps * config.global_batch_size == 5_120
        assert config.total_steps % config.checkpoint.every_steps == 0
        assert (config.filter is None) == (arm.data_share == 1)
    one, other = (
        arms.config_for(arms.ARMS[name], samples=51_200, seed=1, data="d", run="r")
        for name in (arms.BASE, "words")
    )
    assert one == other, "the prediction arms share everything"
    slow = arms.config_for(arms.ARMS["batch-32"], samples=51_200, seed=1, data="d", run="r")
    assert slow.optimizer.lr == pytest.approx(one.optimizer.lr / 2)


def record(**finals: Sequence[float]) -> dict[str, Any]:
    """A record whose arms rise in a straight line to these accuracies of each seed."""
    prompts = dict.fromkeys(("ensemble", "bare", "an emoji of {}"))
    runs = {}
    for arm, values in finals.items():
        runs[arm] = [
            {
                "points": [
                    {"samples_seen": 100 * part, **marks(value * part / 4)} for part in (1, 2, 3, 4)
                ],
                "prompts": {kind: marks(value) for kind in prompts},
                "logit_scale": 14.0,
            }
            for value in values
        ]
    return {
        "machine": "a machine", "date": "2026-11-23", "code_revision": "0123456789abcdef",
        "samples": 400, "seeds": 3, "cpu_seconds": 60.0, "runs": runs,
    }  # fmt: skip


def marks(value: float) -> dict[str, float]:
    names = [measure + kind for measure in table.CHOICES for kind in ("", table.CENTRED)]
    return dict.fromkeys(names, value)


FOUND = {
    arms.BASE: [0.4, 0.5, 0.6],
    "words": [0.2, 0.25, 0.3],
    "captions": [0.1, 0.1, 0.1],
    "vit": [0.41, 0.51, 0.61],
}


def test_the_page_says_how_many_samples_fewer() -> None:
    text = table.as_markdown(record(**FOUND))
    words = next(line for line in text.splitlines() if line.startswith("contrastive minus word"))
    # Paired differences 0.2, 0.25 and 0.3: half an interval is 4.303 × 5 / √3 points.
    assert "at the end: +25.0 (+12.6 … +37.4)" in words
    assert "contrastive needs 200 samples for what word prediction has at 400: 2.0× fewer" in words
    assert "| vision transformer | 51.0 (41.0 – 61.0) |" in text
    assert "+1.0 (+1.0 … +1.0)" in text
    assert "## Data size" not in text, "its arms have not been run"


def test_samples_are_told_also_where_contrastive_is_behind() -> None:
    text = table.as_markdown(record(**{**FOUND, "words": [0.8, 1.0, 1.2]}))
    assert "word prediction needs 200 samples for what contrastive has at 400: 2.0× fewer" in text


@pytest.mark.parametrize(
    ("these", "word"),
    [([0.2, 0.3, 0.4], "as claimed"), ([0.6, 0.7, 0.8], "**the other way round**")],
)
def test_the_page_says_what_speaks_against_a_claim(these: list[float], word: str) -> None:
    those = [0.4, 0.5, 0.6]
    assert page.verdict("half minus all", (these, those), -1).endswith(f"; {word}.")
    assert page.verdict("half minus all", (those[::-1], those), -1).endswith("; open.")


def test_one_seed_settles_nothing() -> None:
    assert page.verdict("a minus b", ([0.9], [0.1]), 1) == "a minus b: +80.0 (one seed); open."


def test_the_page_has_the_claims_whose_arms_were_run() -> None:
    text = page.as_page(record(**FOUND), "../benchmarks/results/x.md")
    assert "- vision transformer minus ResNet: +1.0 (+1.0 … +1.0); as claimed." in text
    assert "- ensemble minus bare name: +0.0 (+0.0 … +0.0); open." in text
    assert "![Large batches]" not in text
    assert "(../benchmarks/results/x.md)" in text


def test_a_curve_that_ends_below_is_not_prolonged() -> None:
    assert table.samples_to_reach([(0, 0.0), (100, 0.5)], 0.6) is None
    assert table.samples_to_reach([(0, 0.0), (100, 0.5), (200, 0.5)], 0.25) == 50


def test_charts_are_files_of_their_own_and_the_same_for_the_same_record() -> None:
    charts = plots.charts(record(**FOUND))
    assert set(charts) == {"efficiency", "backbone", "prompts"}
    assert charts == plots.charts(record(**FOUND))
    for chart in charts.values():
        assert ET.fromstring(chart).tag == "{http://www.w3.org/2000/svg}svg"
    assert charts["efficiency"].count("<polyline") == 9 + 3
    assert "an emoji of {}" in charts["prompts"]


def test_claims_name_arms() -> None:
    assert {name for claim in arms.CLAIMS.values() for name in claim} <= set(arms.ARMS)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "benchmarks/claims.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--samples" in done.stdout
