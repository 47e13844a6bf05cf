"""Real drawings for the demo: the same concepts drawn by eight emoji families.

The packages come from the npm registry (`npm pack`) and are cached; nothing is committed:

    emojibase-data               label, keywords, group of each emoji        (MIT)
    @iconify-json/STYLE          one SVG body per icon name                  (one licence per style)

Six families are for training. Two are held out of it entirely, so that evaluation measures a change
of drawing style. `fluent-emoji-flat` is the only Fluent set used: a third of the 3-D set is nearly
identical to it.
"""

import json
import re
import shutil
import subprocess
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LABELS = ("emojibase-data", "17.0.0")
TRAIN_STYLES = {
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "twemoji": "1.2.5",
    "emojione": "1.2.3",
    "emojione-v1": "1.2.3",
    "fxemoji": "1.2.2",
}
HELD_OUT_STYLES = {"openmoji": "1.2.29", "fluent-emoji-flat": "1.2.6"}
WRONG_NAMES = {
    "fxemoji": {"up", "down", "bow", "wave", "pout", "pouting", "construction", "keyboard"}
    | {"window", "pistol"},
    "emojione": {"pistol"},
    "emojione-v1": {"pistol"},
    "noto-v1": {"pistol"},
}
"""Icons whose name means another emoji today: fxemoji's `bow` is a ribbon, a pistol was a revolver.
Found by looking at every drawing that only its name connects with a concept."""
MIN_TRAIN_STYLES = 2
"""A concept needs this many training drawings, whether it is held out or not."""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One emoji: what it is called, whatever the drawing."""

    hexcode: str
    label: str
    keywords: tuple[str, ...]
    group: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One concept as one family draws it; `svg` is a whole document."""

    style: str
    concept: Concept
    svg: str
    licence: str


def fetch_packages(cache: Path, packages: Sequence[tuple[str, str]] | None = None) -> None:
    """Download and unpack packages into `cache/NAME-VERSION`; those there already are kept.

    Args:
        cache: made if missing.
        packages: names and versions; those of the demo's drawings when None.

    Raises:
        FileNotFoundError: npm is not installed.
        RuntimeError: npm could not fetch a package; the message carries npm's own words.
    """
    wanted = [LABELS, *((f"@iconify-json/{s}", v) for s, v in styles().items())]
    missing = [spec for spec in packages or wanted if not package_dir(cache, *spec).is_dir()]
    if not missing:
        return
    if shutil.which("npm") is None:
        raise FileNotFoundError(
            f"npm is not on the PATH, and {missing[0][0]} is an npm package; "
            "install Node.js with npm (Debian: apt-get install npm) and run again"
        )
    cache.mkdir(parents=True, exist_ok=True)
    names = [f"{name}@{version}" for name, version in missing]
    done = subprocess.run(
        ["npm", "pack", "--json", *names], cwd=cache, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm pack {' '.join(names)} failed: {done.stderr.strip()[-500:]}")
    for name, version in missing:
        _unpack(cache, name, version)


def styles() -> dict[str, str]:
    """Every family and its version, training families first."""
    return TRAIN_STYLES | HELD_OUT_STYLES


def package_dir(cache: Path, name: str, version: str) -> Path:
    """Where a package lies in the cache."""
    return cache / f"{name.removeprefix('@').replace('/', '-')}-{version}"


def read_drawings(cache: Path) -> list[Drawing]:
    """All drawings of the demo's concepts, ordered by concept and style.

    A concept is an emoji that has a group, is no bare skin tone, and is drawn by at least
    `MIN_TRAIN_STYLES` training families and by every held-out one, so that all held-out styles
    are judged on the same classes.
    """
    concepts = _read_concepts(package_dir(cache, *LABELS))
    packages = {s: package_dir(cache, f"@iconify-json/{s}", v) for s, v in styles().items()}
    names = _hexcode_of_name(package_dir(cache, *LABELS), concepts, packages)
    found = [
        drawing
        for style, package in packages.items()
        for drawing in _drawings_of(style, package, concepts, names)
    ]
    trained = Counter(d.concept.hexcode for d in found if d.style in TRAIN_STYLES)
    tested = Counter(d.concept.hexcode for d in found if d.style in HELD_OUT_STYLES)
    kept = {
        code
        for code, count in tested.items()
        if count == len(HELD_OUT_STYLES) and trained[code] >= MIN_TRAIN_STYLES
    }
    order = {style: i for i, style in enumerate(styles())}
    return sorted(
        (d for d in found if d.concept.hexcode in kept),
        key=lambda d: (d.concept.hexcode, order[d.style]),
    )


def _unpack(cache: Path, name: str, version: str) -> None:
    target = package_dir(cache, name, version)
    archive = target.with_name(target.name + ".tgz")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    (partial / "package").rename(target)
    partial.rmdir()
    archive.unlink()


def _read_concepts(labels: Path) -> dict[str, Concept]:
    groups = {
        g["order"]: g["message"]
        for g in json.loads((labels / "en/messages.json").read_text())["groups"]
    }
    concepts = {}
    for entry in json.loads((labels / "en/data.json").read_text()):
        if "group" not in entry or groups[entry["group"]] == "components":
            continue
        concept = Concept(
            hexcode=_hexcode(entry["hexcode"]),
            label=entry["label"],
            keywords=tuple(entry.get("tags", ())),
            group=groups[entry["group"]],
        )
        concepts[concept.hexcode] = concept
    return concepts


def _hexcode(code: str) -> str:
    """Lower case, without the variation selector that some packages write and others do not."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _squash(name: str) -> str:
    """`Flag for: Côte d’Ivoire`, `flag-cote-divoire` → `flagcotedivoire`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    squashed = re.sub(r"[^a-z0-9]+", "", ascii_name.replace("&", "and"))
    return re.sub(r"^flagfor(flag)?", "flag", squashed)


def _hexcode_of_name(
    labels: Path, concepts: dict[str, Concept], packages: dict[str, Path]
) -> dict[str, str]:
    """Icon names to hexcodes. Older families give names only, so every known name counts.

    Earlier sources win: today's labels, names in families that list their code points, the
    Unicode names, and last the short codes of chat programs.
    """
    names: dict[str, str] = {}

    def add(name: str, code: str) -> None:
        if _hexcode(code) in concepts:
            names.setdefault(_squash(name), _hexcode(code))

    for concept in concepts.values():
        add(concept.label, concept.hexcode)
    for package in packages.values():
        for code, name in json.loads((package / "chars.json").read_text()).items():
            add(name, code)
    for code, name in json.loads((labels / "meta/unicode-names.json").read_text()).items():
        add(name, code)
    for source in sorted((labels / "en/shortcodes").glob("*.json")):
        for code, short in json.loads(source.read_text()).items():
            for name in [short] if isinstance(short, str) else short:
                add(name, code)
    return names


def _drawings_of(
    style: str, package: Path, concepts: dict[str, Concept], names: dict[str, str]
) -> Iterator[Drawing]:
    icons = json.loads((package / "icons.json").read_text())
    licence = json.loads((package / "info.json").read_text())["license"]["spdx"]
    by_code = {
        _hexcode(code): name
        for code, name in json.loads((package / "chars.json").read_text()).items()
    }
    by_name: dict[str, str] = {}
    for name in icons["icons"]:
        code = names.get(_squash(name))
        if code is not None and name not in WRONG_NAMES.get(style, ()):
            by_name.setdefault(code, name)
    for code, name in (by_name | by_code).items():
        if code in concepts and name in icons["icons"]:
            svg = _svg(icons, icons["icons"][name])
            yield Drawing(style=style, concept=concepts[code], svg=svg, licence=licence)


def _svg(icons: dict, icon: dict) -> str:
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )
