"""Drawings to image files: the look of each by hash, the pixels by resvg.

Needs the `demo` extra (resvg-py). Workers are processes of their own, because resvg holds the GIL.
"""

import importlib
import io
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from PIL import Image

from diagonal_data.demo.chance import choose, fraction
from diagonal_infra.errors import UserError
from diagonal_infra.storage import PARTIAL_MARK

MIN_WIDTH, MAX_WIDTH = 96, 640
WIDTH_SKEW = 2.2
"""Exponent that gathers widths at the small end: mean about 200 pixels."""
FORMATS = (("jpg", 60), ("png", 25), ("webp", 15))
WHITE = "#ffffff"
PALE = ("#fdf6e3", "#eef6ff", "#f0f8ec", "#fff0f3", "#f3f0fa", "#f2f2f2")
SATURATED = ("#ffd54f", "#4fc3f7", "#81c784", "#e57373", "#9575cd", "#37474f")
BACKGROUNDS = (
    (WHITE, 66),
    *((colour, 22 / len(PALE)) for colour in PALE),
    *((colour, 12 / len(SATURATED)) for colour in SATURATED),
)
TRANSPARENT_SHARE = 0.4
"""Of the PNG and WebP files."""
BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one file of a drawing looks; `background` None is transparent."""

    width: int
    format: str
    background: str | None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to write."""

    svg: str
    look: Look
    path: str


def look_for(style: str, hexcode: str) -> Look:
    """Width, format and background of the drawing's main file."""
    image_format = choose(FORMATS, "format", style, hexcode)
    opaque = image_format == "jpg" or fraction("alpha", style, hexcode) >= TRANSPARENT_SHARE
    background = choose(BACKGROUNDS, "background", style, hexcode) if opaque else None
    return Look(
        width=_width(fraction("width", style, hexcode)), format=image_format, background=background
    )


def resized_look(look: Look, style: str, hexcode: str) -> Look:
    """The same picture at another width and in another format: a perceptual duplicate.

    A transparent picture turns white, as it would on a page.
    """
    others = [(name, weight) for name, weight in FORMATS if name != look.format]
    width = _width(fraction("resized", style, hexcode))
    if abs(width - look.width) < look.width // 8:
        width = look.width + look.width // 4
    image_format = choose(others, "resized", style, hexcode)
    return replace(look, width=width, format=image_format, background=look.background or WHITE)


def render(svg: str, look: Look) -> bytes:
    """The image file's bytes; the same on every run of the same resvg and Pillow."""
    png = _resvg().svg_to_bytes(
        svg_string=svg, width=look.width, background=look.background, skip_system_fonts=True
    )
    if look.format == "png":
        return bytes(png)
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        if look.format == "jpg":
            image.convert("RGB").save(content, "JPEG", quality=88)
        else:
            picture = image if look.background is None else image.convert("RGB")
            picture.save(content, "WEBP", quality=85, method=0)
    return content.getvalue()


def render_all(jobs: Sequence[Job]) -> Iterator[int]:
    """Write every job's file, on all cores; yields how many more are done, as they are.

    Files appear whole, so that a build which was killed can go on from those that are there.
    """
    if not jobs:
        return
    _resvg()
    batches = [jobs[i : i + BATCH_SIZE] for i in range(0, len(jobs), BATCH_SIZE)]
    with ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, len(batches)),
        # A fork would copy the threads of whoever builds the site, in an unknown state.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_leave_with_parent,
    ) as pool:
        running = [pool.submit(_write_batch, batch) for batch in batches]
        for done in as_completed(running):
            yield done.result()


def _width(share: float) -> int:
    return round(MIN_WIDTH * (MAX_WIDTH / MIN_WIDTH) ** (share**WIDTH_SKEW))


def _write_batch(jobs: Sequence[Job]) -> int:
    for job in jobs:
        target = Path(job.path)
        partial = target.with_name(f"{target.name}{PARTIAL_MARK}{os.getpid()}")
        partial.write_bytes(render(job.svg, job.look))
        partial.replace(target)
    return len(jobs)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in pool workers only"

    def wait_and_leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_leave, daemon=True).start()


def _resvg() -> ModuleType:
    """Imported when pictures are drawn: everything else works without the `demo` extra."""
    try:
        return importlib.import_module("resvg_py")
    except ModuleNotFoundError as error:
        raise UserError(
            "the demo's pictures are drawn by resvg-py, which is not installed; "
            "run 'make setup' or install it with 'pip install resvg-py'"
        ) from error
