"""The demo's packages in small: a cache of simple shapes, in the layout of the real packages."""

import json
from pathlib import Path
from typing import Any

import pytest

from diagonal_data.demo import emoji

SHAPES = {
    "circle": '<circle cx="{half}" cy="{half}" r="{radius}" fill="{colour}"/>',
    "square": '<rect x="{edge}" y="{edge}" width="{side}" height="{side}" fill="{colour}"/>',
}
COLOURS = ("red", "orange", "gold", "green", "blue", "purple")
HEXCODES = {
    "circle": ("1F534", "1F7E0", "1F536", "1F7E2", "1F535", "1F7E3"),
    "square": ("1F7E5", "1F7E7", "1F7E8", "1F7E9", "1F7E6", "1F7EA"),
}
GROUPS = ("symbols", "components", "objects")
STYLES_WITHOUT_CODES = ("noto-v1", "emojione", "emojione-v1", "fxemoji")


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 concepts in all 8 styles: six colours of circles and squares."""
    cache = tmp_path_factory.mktemp("packages")
    concepts = [
        (code, f"{colour} {shape}", shape, colour)
        for shape in SHAPES
        for code, colour in zip(HEXCODES[shape], COLOURS, strict=True)
    ]
    _write_labels(emoji.package_dir(cache, *emoji.LABELS), concepts)
    for number, (style, version) in enumerate(emoji.styles().items()):
        package = emoji.package_dir(cache, f"@iconify-json/{style}", version)
        _write_style(package, style, concepts, size=32 + 4 * number)
    return cache


def _write_labels(package: Path, concepts: list[tuple[str, str, str, str]]) -> None:
    entries: list[dict[str, Any]] = [
        {"label": label, "hexcode": code, "group": 2 * number // 12 * 2, "tags": [shape, colour]}
        for number, (code, label, shape, colour) in enumerate(concepts)
    ]
    entries.append({"label": "regional indicator A", "hexcode": "1F1E6"})
    entries.append({"label": "light skin tone", "hexcode": "1F3FB", "group": 1})
    groups = [{"order": i, "key": name, "message": name} for i, name in enumerate(GROUPS)]
    _write(package / "en/data.json", entries)
    _write(package / "en/messages.json", {"groups": groups})
    _write(package / "meta/unicode-names.json", {"1F534": "LARGE RED CIRCLE"})
    _write(package / "en/shortcodes/github.json", {"1F7E0": ["orange_disc", "naranja"]})


def _write_style(
    package: Path, style: str, concepts: list[tuple[str, str, str, str]], size: int
) -> None:
    icons, chars = {}, {}
    for code, label, shape, colour in concepts:
        edge = size / 8
        body = SHAPES[shape].format(
            half=size / 2, radius=3 * edge, edge=edge, side=6 * edge, colour=colour
        )
        name = label.replace(" ", "-")
        if style == "fxemoji":
            # This family uses names of its own.
            name = {"red-circle": "largeredcircle", "orange-circle": "naranja"}.get(name, name)
        icons[name] = {"body": f"{body}<path d='M0 0h{edge}v{edge}z' fill='black'/>"}
        chars[code.lower()] = name
    _write(package / "icons.json", {"icons": icons, "width": size, "height": size})
    _write(package / "info.json", {"license": {"spdx": "MIT"}})
    _write(package / "chars.json", {} if style in STYLES_WITHOUT_CODES else chars)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
