"""Distinct drawings for the benchmark of duplicates, and copies of them as the web makes them.

The drawings are icons of npm packages (`npm pack`, nothing is committed) and, where given, a folder
of SVG files such as Debian's openclipart-svg. Of the emoji families the national flags and the skin
tones are left out: they are the same picture in every family, or one that differs in a colour only.
What is left still holds the same drawing under several names, so `distinct` keeps, in random order,
a drawing only if no kept one resembles it, judged by colour thumbnails and by no hash.
"""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py

from diagonal_data.config import DecodeConfig
from diagonal_data.decode import Refusal, decode_image
from diagonal_data.demo.emoji import styles

OTHER_SETS = {
    "game-icons": "1.2.4",
    "icon-park": "1.2.4",
    "logos": "1.2.19",
    "material-icon-theme": "1.2.70",
    "meteocons": "1.2.4",
    "simple-icons": "1.2.102",
    "streamline-emojis": "1.2.4",
    "streamline-freehand-color": "1.2.2",
    "streamline-ultimate-color": "1.2.2",
    "token-branded": "1.2.45",
    "vscode-icons": "1.2.97",
}
VARIANTS = re.compile(r"flag|skin-tone|(^|-)(dark|light|medium)(-|$)|tone[1-5]")
"""Names of emoji that are the same drawing elsewhere, or the same one in another colour."""
SIDE = 256
PART = 2_000
"""Drawings in a file of the kept ones."""
MAX_SVG_BYTES = 300_000
"""A few clip arts take resvg a minute."""
BLOCK = 1_000
THUMBNAIL = 24
RESEMBLES = 0.95
"""Correlation of two thumbnails from which on they are taken for the same drawing."""
STORED = DecodeConfig()
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def corpus(folder: Path, svgs: Path | None, processes: int) -> pa.Table:
    """All drawings as stored pictures (name, content), drawn in parts that stay in `folder`."""
    drawings = [drawing for package in fetch(folder / "packages") for drawing in icons(package)]
    drawings += clip_arts(svgs) if svgs else []
    # In an order without packages, so that what is drawn so far is a sample of all.
    order = np.random.default_rng(0).permutation(len(drawings))
    parts = folder / f"drawings-{len(drawings)}"
    parts.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for start in range(0, len(order), PART):
            part = parts / f"{start:06d}.parquet"
            if part.is_file():
                continue
            chosen = [drawings[row] for row in order[start : start + PART]]
            found = [row for row in pool.map(drawn, chosen, chunksize=32) if row]
            partial = part.with_suffix(".partial")
            pq.write_table(pa.Table.from_pylist(found), partial)
            partial.replace(part)
    return pa.concat_tables(pq.read_table(part) for part in sorted(parts.glob("*.parquet")))


def fetch(folder: Path) -> list[Path]:
    """The packages' folders; those that are there already are not asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        f"iconify-json-{name}-{version}": f"@iconify-json/{name}@{version}"
        for name, version in (styles() | OTHER_SETS).items()
    }
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if missing:
        command = ["npm", "pack", "--json", *(wanted[name] for name in missing)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for name in missing:
        archive, partial = folder / f"{name}.tgz", folder / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        (partial / "package").rename(folder / name)
        partial.rmdir()
        archive.unlink()
    return [folder / name for name in wanted]


def icons(package: Path) -> Iterator[tuple[str, str]]:
    """Name and SVG of a package's icons, hidden ones and variants left out."""
    found = json.loads((package / "icons.json").read_text())
    is_emoji = any(package.name == f"iconify-json-{s}-{v}" for s, v in styles().items())
    for name, icon in found["icons"].items():
        if icon.get("hidden") or (is_emoji and VARIANTS.search(name)):
            continue
        box = [icon.get(key, found.get(key, 0)) for key in ("left", "top")]
        box += [icon.get(key, found.get(key, 16)) for key in ("width", "height")]
        yield (
            f"{package.name}/{name}",
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>',
        )


def clip_arts(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of the SVG files in a folder."""
    for path in sorted(folder.rglob("*.svg")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_SVG_BYTES:
            yield f"clip-art/{path.stem}", path.read_text("utf-8", "replace")


def drawn(drawing: tuple[str, str]) -> dict | None:
    """One drawing on white as the pipeline stores it; None if it cannot be drawn or is empty."""
    name, svg = drawing
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=SIDE, background="#ffffff", skip_system_fonts=True
        )
    except ValueError:
        return None
    stored = decode_image(bytes(png), SIDE, STORED)
    if isinstance(stored, Refusal):
        return None
    return {"name": name, "content": stored.content}


def pixels_of(content: bytes) -> np.ndarray:
    """RGB of a stored picture."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def distinct(contents: Sequence[bytes], number: int, rng: np.random.Generator) -> np.ndarray:
    """Rows, at most `number`, of which no two thumbnails correlate by more than `RESEMBLES`."""
    flat = np.stack([thumbnail(content) for content in contents])
    # An empty picture has no structure to be told by.
    order = rng.permutation(np.flatnonzero(flat.any(axis=1)))
    rows = np.empty(0, int)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        block = block[~(flat[block] @ flat[rows].T > RESEMBLES).any(axis=1)]
        alike = flat[block] @ flat[block].T > RESEMBLES
        chosen: list[int] = []
        for place in range(len(block)):
            if not alike[place, chosen].any():
                chosen.append(place)
        rows = np.append(rows, block[chosen])
        if len(rows) >= number:
            break
    return rows[:number]


def thumbnail(content: bytes) -> np.ndarray:
    """Colours of a small copy less their mean, of length 1, so that products are correlations."""
    small = cv2.resize(pixels_of(content), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    vector = small.astype(np.float32).ravel()
    vector -= vector.mean()
    return vector / max(float(np.linalg.norm(vector)), 1.0)


def resized(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Between 0.4 and 1.5 of the size."""
    factor = rng.uniform(0.4, 1.5)
    size = [max(16, round(side * factor)) for side in pixels.shape[1::-1]]
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, size, interpolation=way)


def cropped(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tenth of the width and of the height cut away, at random ends."""
    height, width = pixels.shape[:2]
    top, left = rng.integers(0, height // 10 + 1), rng.integers(0, width // 10 + 1)
    return pixels[top : top + height - height // 10, left : left + width - width // 10]


def jpeg_q30(pixels: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Through a JPEG of quality 30."""
    _, content = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    return pixels_of(content.tobytes())


def flipped(pixels: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """The mirror image."""
    return np.ascontiguousarray(pixels[:, ::-1])


def watermarked(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A half-transparent word across the picture, grey on a random line."""
    height, width = pixels.shape[:2]
    layer = pixels.copy()
    scale = width / 256
    place = (round(0.08 * width), round(height * rng.uniform(0.3, 0.95)))
    font, thick = cv2.FONT_HERSHEY_DUPLEX, max(1, round(2 * scale))
    cv2.putText(layer, "example.org", place, font, 1.2 * scale, (128,) * 3, thick, cv2.LINE_AA)
    return cv2.addWeighted(layer, 0.5, pixels, 0.5, 0)


CHANGES: dict[str, Change] = {
    "resize": resized,
    "jpeg q30": jpeg_q30,
    "watermark": watermarked,
    "crop 10 %": cropped,
    "flip": flipped,
}


def stored_again(pixels: np.ndarray) -> bytes:
    """A changed picture as the pipeline would store it."""
    _, png = cv2.imencode(".png", pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    stored = decode_image(png.tobytes(), SIDE, STORED)
    assert not isinstance(stored, Refusal), stored
    return stored.content
