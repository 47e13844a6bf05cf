"""Digests of picture files, kept so that a large image folder is read once to know its content.

CACHE/digests/DIGEST.json    {"size mtime": …} by path, for one set of folders
"""

import json
from collections.abc import Sequence
from pathlib import Path

from diagonal_eval.dataset import content_digest
from diagonal_eval.sets.found import picture_digest
from diagonal_infra import storage


def file_digests(files: Sequence[Path], cache: str) -> tuple[str, ...]:
    """The digest of each file; of one that was not changed since, from the cache.

    A file whose content changes while size and time stay is not noticed.
    """
    if not files:
        return ()
    path = Path(cache) / "digests" / f"{content_digest(str(files[0].parent.absolute()))}.json"
    known: dict[str, str] = json.loads(path.read_bytes()) if path.is_file() else {}
    stamps = [_stamp(file) for file in files]
    digests = [
        known.get(stamp) or picture_digest(file.read_bytes())
        for stamp, file in zip(stamps, files, strict=True)
    ]
    table = dict(zip(stamps, digests, strict=True))
    if table != known:
        storage.write_bytes(str(path), json.dumps(table).encode())
    return tuple(digests)


def _stamp(file: Path) -> str:
    facts = file.stat()
    return f"{file.absolute()} {facts.st_size} {facts.st_mtime_ns}"
