import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.eval.sets.tiny_sets import config_for

from diagonal_eval.sets.registry import TASKS
from diagonal_eval.sets.wording import (
    listed_class_names,
    packaged_class_names,
    prompts_for,
    templates_for,
    text_lines,
)
from diagonal_infra.errors import UserError


def test_templates_of_a_set_have_their_place_for_the_name() -> None:
    found = templates_for(TASKS["food101"], config_for(Path()), ())
    assert found == ("a photo of {}, a type of food.",)


def test_a_set_without_templates_gets_those_of_imagenet() -> None:
    assert len(templates_for(TASKS["birdsnap"], config_for(Path()), ())) == 80
    assert len(templates_for(None, config_for(Path()), ())) == 80


def test_templates_of_the_user_go_before_those_of_the_set(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one {}\n\n{c} two\n")
    config = config_for(tmp_path, templates=str(tmp_path / "t.txt"))
    assert templates_for(TASKS["food101"], config, ("own {c}",)) == ("one {}", "{} two")
    assert templates_for(None, config_for(tmp_path), ("own {c}",)) == ("own {}",)


@pytest.mark.parametrize(("content", "said"), [("no slot\n", "no slot"), ("\n", "no template")])
def test_templates_without_a_slot_are_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "t.txt").write_text(content)
    with pytest.raises(UserError, match=said):
        templates_for(None, config_for(tmp_path, templates=str(tmp_path / "t.txt")), ())


def test_a_file_that_is_not_there_is_named_with_its_flag() -> None:
    with pytest.raises(UserError, match=r"--sets\.templates"):
        templates_for(None, config_for(Path(), templates="nowhere.txt"), ())


@pytest.mark.parametrize("language", ["ar", "cn", "it", "jp"])
def test_imagenet_is_named_in_other_languages(language: str) -> None:
    config = config_for(Path(), language=language)
    names = listed_class_names(TASKS["imagenet1k"], config)
    assert len(names) == 1000
    assert names != packaged_class_names(TASKS["imagenet1k"], "en")
    assert all("{}" in template for template in templates_for(TASKS["imagenet1k"], config, ()))


@pytest.mark.parametrize(("name", "language"), [("pets", "cn"), ("cifar10", "it"), ("pets", "xx")])
def test_a_language_that_a_set_lacks_is_refused(name: str, language: str) -> None:
    with pytest.raises(UserError, match=r"imagenet1k|--sets.language"):
        listed_class_names(TASKS[name], config_for(Path(), language=language))


def test_cupl_has_prompts_of_every_class_of_imagenet() -> None:
    names = packaged_class_names(TASKS["imagenet1k"], "en")
    prompts = prompts_for(TASKS["imagenet1k"], config_for(Path(), prompts="cupl"), names)
    assert prompts is not None
    assert set(prompts) == set(names)
    assert all(prompts.values())


def test_cupl_has_none_for_other_classes() -> None:
    config = config_for(Path(), prompts="cupl")
    with pytest.raises(UserError, match="2 of 2 classes: 'a yak herd', 'a moor'"):
        prompts_for(None, config, ("a yak herd", "a moor"))


@pytest.mark.parametrize(
    "table", [{"a": ["an a"], "b": ["a b"]}, {"pets": {"a": ["x"], "b": ["y"]}}]
)
def test_prompts_of_the_user_are_by_class_or_by_set(tmp_path: Path, table: dict) -> None:
    (tmp_path / "p.json").write_text(json.dumps(table))
    config = config_for(tmp_path, prompts=str(tmp_path / "p.json"))
    prompts = prompts_for(TASKS["pets"], config, ("a", "b"))
    assert prompts is not None
    assert list(prompts) == ["a", "b"]


@pytest.mark.parametrize("content", ["[]", "{", '{"a": []}', '{"a": "b"}'])
def test_prompts_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(UserError, match=r"p\.json"):
        prompts_for(None, config_for(tmp_path, prompts=str(tmp_path / "p.json")), ("a", "b"))


def test_lines_keep_empty_names_but_not_the_files_end() -> None:
    assert text_lines(b"\xef\xbb\xbfnear\n\nfar \r\n\n\n", "x") == ("near", "", "far")
    assert text_lines(b"\n", "x") == ()
    with pytest.raises(UserError, match="not UTF-8 at byte 1"):
        text_lines(b"a\xff", "x")


def test_words_are_read_without_loading_torch() -> None:
    code = (
        "import sys; from diagonal_eval.sets.wording import packaged; "
        "packaged('en_classnames.json'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
