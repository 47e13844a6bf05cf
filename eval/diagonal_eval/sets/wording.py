"""In which words a set's classes are put to the model: class names, templates, prompts.

In order, the first that is there:

    class names   --sets.class-names, another language's, the set's own, clip_benchmark's
    templates     --sets.templates, another language's, the set's own, clip_benchmark's for the set,
                  clip_benchmark's for imagenet1k
    prompts       --sets.prompts, in place of templates

clip_benchmark's JSON files are read in place, without its code. Its {c} is {} here.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from diagonal_eval.sets.config import SetsConfig
from diagonal_eval.sets.task_info import TaskInfo
from diagonal_infra import storage
from diagonal_infra.errors import UserError

LANGUAGES = ("en", "ar", "cn", "it", "jp")
PACKAGED_LANGUAGE = "en"
GENERAL_TEMPLATES = "imagenet1k"
"""Whose templates a set without any gets, as in clip_benchmark."""
CUPL = "cupl"
NAMES_FILE = "{}_classnames.json"
TEMPLATES_FILE = "{}_zeroshot_classification_templates.json"


@cache
def packaged(file: str) -> dict[str, Any]:
    """One of clip_benchmark's JSON files.

    Raises:
        UserError: the package is not installed.
    """
    try:
        # Of the package, whose own module is empty: its builder loads models and torchvision.
        folder = resources.files("clip_benchmark") / "datasets"
    except ModuleNotFoundError as error:
        raise UserError(
            "class names and templates come from clip_benchmark, which is not installed; "
            "pip install clip-benchmark"
        ) from error
    return json.loads((folder / file).read_text(encoding="utf-8"))


def listed_class_names(info: TaskInfo | None, config: SetsConfig) -> tuple[str, ...]:
    """The class names that go before a set's own: the user's or another language's.

    Raises:
        UserError: the file is not there, or the language has no names of the set.
    """
    if config.class_names is not None:
        return read_lines(config.class_names, "--sets.class-names")
    if config.language == PACKAGED_LANGUAGE:
        return ()
    return packaged_class_names(info, config.language)


def packaged_class_names(info: TaskInfo | None, language: str) -> tuple[str, ...]:
    """clip_benchmark's names of a set's classes in label order; empty if it has none in English.

    Raises:
        UserError: the language is unknown, or has no names of the set.
    """
    if info is None or info.class_names_key is None:
        if language != PACKAGED_LANGUAGE:
            raise UserError(_not_in(language, info))
        return ()
    names = packaged(NAMES_FILE.format(_known(language))).get(info.class_names_key)
    if names is None:
        raise UserError(_not_in(language, info))
    return tuple(names)


def templates_for(info: TaskInfo | None, config: SetsConfig, own: Sequence[str]) -> tuple[str, ...]:
    """The templates of a set.

    Raises:
        UserError: the file is not there or holds none, or a template has no {}.
    """
    if config.templates is not None:
        found = tuple(line for line in read_lines(config.templates, "--sets.templates") if line)
    elif config.language == PACKAGED_LANGUAGE and own:
        found = tuple(own)
    else:
        all_of = packaged(TEMPLATES_FILE.format(_known(config.language)))
        key = (info.templates_key if info else None) or GENERAL_TEMPLATES
        found = tuple(all_of.get(key) or all_of[GENERAL_TEMPLATES])
    templates = tuple(template.replace("{c}", "{}") for template in found)
    source = config.templates or f"the templates of {info.name if info else 'the set'}"
    if not templates:
        raise UserError(f"{source!r} holds no template; write one a line, with {{}} for the name")
    for template in templates:
        if "{}" not in template:
            raise UserError(f"{source!r}: {template!r} has no {{}} or {{c}} for the class name")
    return templates


def prompts_for(
    info: TaskInfo | None, config: SetsConfig, class_names: Sequence[str]
) -> dict[str, tuple[str, ...]] | None:
    """Each class's own prompts, or None where templates are used.

    Raises:
        UserError: the file is not there or no such table, or a class has no prompt.
    """
    if config.prompts is None:
        return None
    cupl = config.prompts == CUPL
    table = packaged("cupl_prompts.json") if cupl else _read_json(config.prompts)
    for key in (info.name if info else "", (info.class_names_key if info else None) or ""):
        if isinstance(table.get(key), dict):
            table = table[key]
            break
    missing = [name for name in class_names if not _is_prompts(table.get(name))]
    if missing:
        examples = ", ".join(repr(name) for name in missing[:5])
        raise UserError(
            f"--sets.prompts {config.prompts!r} has no list of prompts for {len(missing)} of "
            f"{len(class_names)} classes: {examples}; leave --sets.prompts out for this set"
        )
    return {name: tuple(table[name]) for name in class_names}


def read_lines(path: str, flag: str) -> tuple[str, ...]:
    """The lines of a UTF-8 file, without space at their ends; empty ones at its end do not count.

    Raises:
        UserError: there is no such file, or it is not UTF-8.
    """
    if not storage.exists(path):
        raise UserError(f"no file {path!r}; check {flag}")
    return text_lines(storage.read_bytes(path), path)


def text_lines(content: bytes, path: str) -> tuple[str, ...]:
    """`read_lines` of what was read.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path!r} is not UTF-8 at byte {error.start}; convert it") from error
    return tuple(line.strip() for line in text.rstrip().split("\n")) if text.strip() else ()


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise UserError(f"no language {language!r}; --sets.language is one of {LANGUAGES}")
    return language


def _not_in(language: str, info: TaskInfo | None) -> str:
    names = packaged(NAMES_FILE.format(_known(language)))
    return (
        f"{info.name if info else 'the set'} has no class names in {language!r}, which has those "
        f"of {', '.join(names)}; give your own with --sets.class-names"
    )


def _read_json(path: str) -> dict[str, Any]:
    if not storage.exists(path):
        raise UserError(f"no file {path!r}; --sets.prompts is {CUPL} or a JSON file")
    try:
        table = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path!r} is no JSON: {error}") from error
    if not isinstance(table, dict):
        raise UserError(f"{path!r} is no table {{class name: [prompt, …]}}")
    return table


def _is_prompts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(p, str) for p in value)
