"""Coloured squares and colours as labels."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.eval.conftest import COLOURS, jpeg

from diagonal_eval import zeroshot
from diagonal_eval.classify.classify import (
    build_label_classifier,
    classify,
    find_images,
    note_for,
    prompts_of,
    read_labels,
)
from diagonal_eval.classify.config import TEMPLATES, ClassifyConfig
from diagonal_eval.embed import Encoder, embed_images, embed_texts
from diagonal_infra.errors import UserError

LABELS = ("red square", "green square", "blue square")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for label in LABELS:
        (folder / f"{label}.jpg").write_bytes(jpeg(COLOURS[label]))
    return folder


@pytest.fixture
def config(pictures: Path) -> ClassifyConfig:
    return ClassifyConfig(images=(str(pictures),), labels=LABELS, templates=("{}",))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["zeroshot", "classify", *words])
    try:
        zeroshot.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_the_label_that_fits_comes_first(config: ClassifyConfig, colour_encoder: Encoder) -> None:
    found = classify(config, colour_encoder)
    assert [Path(each.image).stem for each in found] == sorted(LABELS)
    assert all(each.guesses[0].label == Path(each.image).stem for each in found)


def test_probabilities_are_the_softmax_of_scaled_cosines(
    config: ClassifyConfig, colour_encoder: Encoder, pictures: Path
) -> None:
    image = (pictures / "blue square.jpg").read_bytes()
    image_D = embed_images(colour_encoder, [image], 1)[0].astype(np.float64)
    text_CD = embed_texts(colour_encoder, LABELS, 3).astype(np.float64)
    cosine_C = text_CD @ image_D / np.linalg.norm(image_D) / np.linalg.norm(text_CD, axis=1)
    weight_C = np.exp(colour_encoder.logit_scale * (cosine_C - cosine_C.max()))
    expected = dict(zip(LABELS, weight_C / weight_C.sum(), strict=True))
    (blue,) = [each for each in classify(config, colour_encoder) if "blue" in each.image]
    assert {g.label: g.probability for g in blue.guesses} == pytest.approx(expected, abs=1e-3)
    assert sum(g.probability for g in blue.guesses) == pytest.approx(1)


def test_a_labels_row_is_that_of_the_zeroshot_classifier(colour_encoder: Encoder) -> None:
    templates = ("{}", "a drawing of {}", "{} on a {}")
    ours = build_label_classifier(colour_encoder, LABELS, templates, 2)
    reference = zeroshot.build_classifier(
        lambda texts: embed_texts(colour_encoder, texts, 100), LABELS, templates
    )
    np.testing.assert_array_equal(ours, reference)


def test_an_article_of_the_label_stands_for_the_templates() -> None:
    assert prompts_of("cat", TEMPLATES)[:2] == ["cat", "a photo of a cat"]
    assert prompts_of("a cat", TEMPLATES)[:2] == ["a cat", "a photo of a cat"]
    assert prompts_of("The sea", TEMPLATES)[1] == "a photo of The sea"
    assert prompts_of("antlers", TEMPLATES)[1] == "a photo of a antlers"
    assert prompts_of("一只猫", ("{} 的照片",)) == ["一只猫 的照片"]
    assert prompts_of("a {brace}", ("the {} {0}",)) == ["a {brace} {0}"]


def test_labels_come_from_both_places_and_count_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffein Käse\r\n\r\n a cat \r\n猫\r\n".encode())
    config = ClassifyConfig(labels=("a cat", "a dog"), labels_file=str(file))
    assert read_labels(config) == ["a cat", "a dog", "ein Käse", "猫"]
    assert "given twice" in caplog.text


def test_of_one_label_the_probability_is_one_and_the_user_is_told(
    config: ClassifyConfig, colour_encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    for each in classify(replace(config, labels=("red square",)), colour_encoder):
        assert each.guesses[0].probability == 1
        assert not each.note
    assert "one label" in caplog.text


@pytest.mark.parametrize(
    ("falling", "close", "note"),
    [
        ([0.9, 0.1], 0.1, ""),
        ([0.52, 0.48], 0.1, "close"),
        ([0.52, 0.48], 0.0, ""),
        ([0.5, 0.5], 0.0, "tie"),
        ([0.5, 0.5], 0.1, "tie"),
        ([1.0], 0.1, ""),
    ],
)
def test_a_note_where_the_first_two_are_near(falling: list[float], close: float, note: str) -> None:
    assert note_for(np.array(falling), close) == note


def test_equal_labels_tie_in_the_order_they_were_given(
    config: ClassifyConfig, colour_encoder: Encoder
) -> None:
    labels = ("blue square", "big red square", "red square")
    (red,) = [
        each
        for each in classify(replace(config, labels=labels), colour_encoder)
        if "red" in each.image
    ]
    assert red.note == "tie"
    assert [guess.label for guess in red.guesses[:2]] == ["big red square", "red square"]


def test_pictures_are_found_by_path_folder_and_glob_each_once(pictures: Path) -> None:
    (pictures / "notes.txt").touch()
    (pictures / "odd [1] {2}.jpg").write_bytes(b"")
    red = str(pictures / "red square.jpg")
    found = find_images([red, f"{pictures}/*square.jpg", str(pictures), "gone.jpg"])
    assert [Path(path).name for path in found] == [
        *("red square.jpg", "blue square.jpg", "green square.jpg"),
        *("odd [1] {2}.jpg", "gone.jpg"),
    ]
    assert find_images([str(pictures / "odd [1] {2}.jpg")]) == [str(pictures / "odd [1] {2}.jpg")]
    assert find_images(["http://127.0.0.1:1/*?a={b}"]) == ["http://127.0.0.1:1/*?a={b}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ()}, "nothing to choose from"),
        ({"labels": ("a cat", " ")}, "an empty label"),
        ({"labels_file": "gone.txt"}, "gone.txt"),
        ({"images": ()}, "no pictures given"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    config: ClassifyConfig, colour_encoder: Encoder, change: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        classify(replace(config, **change), colour_encoder)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no pictures"):
        find_images([str(tmp_path)])


def test_a_template_without_a_slot_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--labels", "a", "--templates", "a photo", "--", "x.jpg") == 2
    assert "--templates 'a photo' has no {}" in capsys.readouterr().err


@pytest.fixture
def colours(use_colour_encoder: Callable[[str], None]) -> None:
    use_colour_encoder("diagonal_eval.classify.command")


@pytest.mark.usefixtures("colours")
def test_the_command_shows_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    monkeypatch.chdir(pictures)
    words = ("--labels", "red square", "blue [b]square", "--", "red square.jpg")
    assert run(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    assert "red square.jpg" in shown
    assert "blue [b]square" in shown
    assert "1.000" in shown
    assert "abstain" not in shown


@pytest.mark.usefixtures("colours")
def test_the_table_says_where_to_abstain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    monkeypatch.chdir(pictures)
    words = ("--labels", "big red square", "old red square", "--templates", "{}")
    assert run(monkeypatch, *words, "--", "red square.jpg") == 0
    assert "tie: the first two are equal, abstain" in capsys.readouterr().out


@pytest.mark.usefixtures("colours")
def test_unreadable_pictures_are_named_and_the_rest_are_done(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    pictures: Path,
) -> None:
    monkeypatch.chdir(pictures)
    Path("broken.jpg").write_bytes(b"\xff\xd8 no picture")
    names = ("broken.jpg", "gone.jpg", "red square.jpg")
    assert (
        run(monkeypatch, "--labels", *LABELS, "--format", "json", "--top", "1", "--", *names) == 1
    )
    captured = capsys.readouterr()
    broken, gone, red = json.loads(captured.out)
    assert [broken["image"], gone["image"]] == ["broken.jpg", "gone.jpg"]
    assert broken["error"] == gone["error"] == "cannot be read or decoded"
    assert [label["label"] for label in red["labels"]] == ["red square"]
    assert "2 of 3 pictures cannot be read or decoded: broken.jpg, gone.jpg" in captured.err
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [name in error for name, error in zip(names, errors, strict=False)] == [True, True]


@pytest.mark.usefixtures("colours")
def test_csv_has_a_line_per_label(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    monkeypatch.chdir(pictures)
    Path("broken.jpg").write_bytes(b"")
    words = ("--labels", "ein “roter”, red square", "blue square", "--format", "csv")
    assert run(monkeypatch, *words, "--", "red square.jpg", "broken.jpg") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "image,rank,label,probability,cosine,note"
    assert lines[1].startswith('red square.jpg,1,"ein “roter”, red square",1.0,')
    assert len(lines) == 4
    assert lines[3] == "broken.jpg,,,,,cannot be read or decoded"


def test_a_real_run_classifies_at_its_own_temperature(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pictures: Path,
    tiny_run: str,
) -> None:
    words = ("--checkpoint", tiny_run, "--labels", "a cat", "a dog", "--format", "json")
    assert run(monkeypatch, *words, "--", str(pictures)) == 0
    found = json.loads(capsys.readouterr().out)
    for each in found:
        first, second = each["labels"]
        ratio = np.log(first["probability"] / second["probability"])
        scale = ratio / (first["cosine"] - second["cosine"])
        assert 10 < scale < 20  # 1/0.07, and a step of training
