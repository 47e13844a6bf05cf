"""Tars as other people write them."""

import io
import tarfile
from pathlib import Path

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(members: list[tuple[str, bytes]], format: str = "pax") -> bytes:
    """A whole tar with members in this order; a name that ends in a slash is a folder."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=FORMATS[format]) as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            if name.endswith("/"):
                header.type = tarfile.DIRTYPE
            tar.addfile(header, io.BytesIO(content))
    return file.getvalue()


def pairs(*keys: str, image: str = "jpg", text: str = "txt") -> list[tuple[str, bytes]]:
    """The members of usable samples; every content is another."""
    return [
        (f"{key}.{extension}", f"{extension} of {key}".encode() * 50)
        for key in keys
        for extension in (image, text)
    ]


def write_tar(path: Path, *keys: str) -> Path:
    """A tar of usable samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive(pairs(*keys)))
    return path
