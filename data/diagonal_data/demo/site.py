"""Builds the demo's small web: `python -m diagonal_data.demo.site FOLDER`.

    FOLDER/ADDRESS/…          what the host serves: pages, pictures, robots.txt
    FOLDER/labels.parquet     what every picture shows: the truth that evaluation joins by url
    FOLDER/plan.json          written first: what the pictures in the folder were drawn from
    FOLDER/site.json          written last: counts, and the answers that are no plain files

A build that was killed goes on from the pictures that are there; a finished one is left alone.
"""

import argparse
import hashlib
import importlib.metadata
import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from diagonal_data.demo import emoji, pages, web
from diagonal_data.demo.chance import fraction
from diagonal_data.demo.emoji import Drawing
from diagonal_data.demo.render import Job, render_all
from diagonal_data.demo.web import DEFAULT_PORT, Entry
from diagonal_infra import log, storage
from diagonal_infra.errors import UserError
from diagonal_infra.run_dir import to_json

HELD_OUT_CONCEPTS_SHARE = 0.1
TRUNCATED_SHARE = 0.5
"""Of a truncated file's bytes that are there."""
IMAGE_SOURCES = ("chance.py", "emoji.py", "render.py", "web.py")
PAGE_SOURCES = ("pages.py", "site.py")
"""A change of the first draws everything again, of the second rewrites pages and labels only."""
LABELS_SCHEMA = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("hexcode", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("keywords", pa.list_(pa.string()), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("held_out_style", pa.bool_(), nullable=False),
        pa.field("held_out_concept", pa.bool_(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
"""One row per image address of a drawing, faulty ones too; `kind` as in web.py."""


def ensure_site(
    folder: str,
    packages: str | None = None,
    *,
    port: int = DEFAULT_PORT,
    max_concepts: int | None = None,
) -> None:
    """Build the web under `folder` unless it is there, complete and built by this code.

    Args:
        folder: a local folder; made if missing.
        packages: cache of npm packages, filled if needed; `folder/../packages` when None.
        port: of all hosts; the pages' links carry it.
        max_concepts: build a smaller web of this many emoji.

    Raises:
        UserError: resvg-py or npm is not installed, or the folder holds something else.
    """
    root = Path(folder)
    drawn_from = _fingerprint({"max_concepts": max_concepts}, IMAGE_SOURCES)
    built_from = _fingerprint({"drawn_from": drawn_from, "port": port}, PAGE_SOURCES)
    if _read_json(root / "site.json").get("built_from") == built_from:
        return
    drawings = _read_drawings(Path(packages) if packages else root.parent / "packages")
    entries = web.plan_entries(_smaller(drawings, max_concepts))
    _prepare(root, drawn_from)
    _draw(root, entries)
    _write_derived(root, entries)
    _write_pages(root, entries, port)
    _write_labels(root, entries, port)
    site = {
        "built_from": built_from,
        "port": port,
        "counts": dict(sorted(Counter(entry.kind for entry in entries).items())),
        "responses": web.plan_responses(entries, port),
    }
    storage.write_bytes(str(root / "site.json"), to_json(site))


def held_out_concept(hexcode: str) -> bool:
    """Whether no drawing of this emoji, in any style, may be trained on."""
    return fraction("held-out concept", hexcode) < HELD_OUT_CONCEPTS_SHARE


def _fingerprint(facts: dict[str, Any], sources: Sequence[str]) -> str:
    """A hash of what the result depends on: parameters, our code, the programs that draw."""
    here = Path(__file__).parent
    code = {name: hashlib.sha256((here / name).read_bytes()).hexdigest() for name in sources}
    versions = {name: _version(name) for name in ("pillow", "resvg-py")}
    return hashlib.sha256(json.dumps([facts, code, versions]).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes()) if path.is_file() else {}


def _read_drawings(cache: Path) -> list[Drawing]:
    try:
        emoji.fetch_packages(cache)
    except (FileNotFoundError, RuntimeError) as error:
        raise UserError(str(error)) from error
    return emoji.read_drawings(cache)


def _smaller(drawings: list[Drawing], max_concepts: int | None) -> list[Drawing]:
    codes = sorted({d.concept.hexcode for d in drawings}, key=lambda c: fraction("smaller", c))
    kept = set(codes[:max_concepts])
    return [drawing for drawing in drawings if drawing.concept.hexcode in kept]


def _prepare(root: Path, drawn_from: str) -> None:
    """Clear away what another plan left; keep the pictures that this plan drew."""
    found = [p.name for p in root.glob("*") if storage.PARTIAL_MARK not in p.name]
    if found and "plan.json" not in found:
        raise UserError(f"{str(root)!r} holds files of something else; choose another folder")
    (root / "site.json").unlink(missing_ok=True)
    same = _read_json(root / "plan.json").get("drawn_from") == drawn_from
    for address in web.ADDRESSES:
        for stale in ("gallery", "private") if same else ("",):
            shutil.rmtree(root / address / stale, ignore_errors=True)
    storage.write_bytes(str(root / "plan.json"), to_json({"drawn_from": drawn_from}))


def _file_of(root: Path, entry: Entry) -> Path:
    return root / entry.address / entry.path.lstrip("/")


def _draw(root: Path, entries: Sequence[Entry]) -> None:
    drawn = [entry for entry in entries if entry.kind in ("drawing", "resized")]
    for folder in {_file_of(root, entry).parent for entry in drawn}:
        folder.mkdir(parents=True, exist_ok=True)
        storage.delete_partials(str(folder))
    jobs = [
        Job(svg=entry.drawing.svg, look=entry.look, path=str(_file_of(root, entry)))
        for entry in drawn
        if not _file_of(root, entry).is_file()
    ]
    with log.progress() as bar:
        task = bar.add_task("drawing the demo's pictures", total=len(jobs))
        for done in render_all(jobs):
            bar.advance(task, done)


def _write_derived(root: Path, entries: Sequence[Entry]) -> None:
    """The files made from another's bytes."""
    for entry in entries:
        original = root / entry.address / web.path_of(entry.drawing, entry.look.format).lstrip("/")
        if entry.kind in ("copy", "noai", "private", "private_page"):
            content = original.read_bytes()
        elif entry.kind == "truncated":
            content = original.read_bytes()
            content = content[: int(len(content) * TRUNCATED_SHARE)]
        elif entry.kind == "not_image":
            content = b"<!doctype html><p>Please sign in.</p>" if web.is_html(entry) else b"gone\n"
        else:
            continue
        _write(_file_of(root, entry), content)


def _write_pages(root: Path, entries: Sequence[Entry], port: int) -> None:
    for address, by_path in pages.plan_pages(entries, port).items():
        for path, html in by_path.items():
            _write(root / address / path.lstrip("/"), html.encode())
        _write(root / address / "robots.txt", web.ROBOTS_TXT.encode())
        for path, content in _noise_files().items():
            _write(root / address / path.lstrip("/"), content)


def _noise_files() -> dict[str, bytes]:
    """Pictures that are no content: spacer, logo, banner."""
    logo = Image.new("RGB", (120, 40), "#223344")
    ImageDraw.Draw(logo).ellipse((8, 6, 36, 34), fill="#ffcc00")
    images = {
        pages.SPACER: (Image.new("P", (1, 1)), "GIF"),
        pages.LOGO: (logo, "PNG"),
        pages.BANNER: (Image.new("RGB", (720, 90), "#cc2244"), "JPEG"),
    }
    files = {}
    for path, (image, image_format) in images.items():
        content = io.BytesIO()
        image.save(content, image_format)
        files[path] = content.getvalue()
    return files


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_labels(root: Path, entries: Sequence[Entry], port: int) -> None:
    rows = [
        {
            "url": entry.url(port),
            "style": entry.drawing.style,
            "hexcode": entry.drawing.concept.hexcode,
            "label": entry.drawing.concept.label,
            "keywords": list(entry.drawing.concept.keywords),
            "group": entry.drawing.concept.group,
            "licence": entry.drawing.licence,
            "held_out_style": entry.drawing.style in emoji.HELD_OUT_STYLES,
            "held_out_concept": held_out_concept(entry.drawing.concept.hexcode),
            "kind": entry.kind,
        }
        for entry in entries
    ]
    with storage.write_whole(str(root / "labels.parquet")) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=LABELS_SCHEMA), file)


def main() -> None:
    """Build the web by hand."""
    log.configure()
    parser = argparse.ArgumentParser(description="Build the demo's small web.")
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of all four hosts")
    given = parser.parse_args()
    try:
        ensure_site(given.folder, port=given.port)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
