"""How alike the stored pictures of two runs are: SSIM of the pixels, matched by URL."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from fetch_engines import OURS, PEER, read_rows, shards_of


def compare(ours: Path, peers: Path, skipped: set[str]) -> dict[str, Any]:
    """SSIM over the URLs that both folders kept, less `skipped`; other sizes are counted apart."""
    left, right = images_by_url(OURS, ours), images_by_url(PEER, peers)
    values, other_size = [], 0
    for url in sorted((left.keys() & right.keys()) - skipped):
        first, second = _pixels(left[url]), _pixels(right[url])
        if first.shape != second.shape:
            other_size += 1
            continue
        values.append(np.mean(structural_similarity(first, second, channel_axis=2)))
    found = np.array(values or [0.0])
    return {
        "compared": len(values),
        "other_size": other_size,
        "skipped_turned": len(skipped),
        "ssim_mean": round(float(found.mean()), 4),
        "ssim_p5": round(float(np.percentile(found, 5)), 4),
        "ssim_min": round(float(found.min()), 4),
    }


def images_by_url(program: str, folder: Path) -> Mapping[str, bytes]:
    """The stored image files of a run."""
    rows = read_rows(program, folder).to_pylist()
    url_of = {row["key"]: row["url"] for row in rows if row["status"] == "success"}
    found = {}
    for path in sorted(shards_of(program, folder).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.rpartition(".")
                file = tar.extractfile(member) if ending == "jpg" else None
                if file is not None:
                    found[url_of[key]] = file.read()
    return found


def _pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))
