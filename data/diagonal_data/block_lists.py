"""What must never reach the disk: lists of URLs, hosts and hashes, matched in memory.

Such lists name illegal or withdrawn pictures. A match ends as a row without an image: its reason
says which kind of list named it, and the picture is in no file, not even for a moment.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from diagonal_data.addresses import host_of, http_url
from diagonal_data.fetch_config import BlockConfig
from diagonal_data.phash import hamming
from diagonal_data.schema import canonical_url
from diagonal_infra import storage
from diagonal_infra.errors import UserError

DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class BlockLists:
    """The lists in memory; a URL takes its 16-byte digest."""

    urls: frozenset[bytes] = frozenset()
    hosts: frozenset[str] = frozenset()
    md5: frozenset[str] = frozenset()
    sha256: frozenset[str] = frozenset()
    phashes: np.ndarray
    max_hamming: int

    def names_url(self, url: str) -> bool:
        """Whether the URL, in canonical form, is listed."""
        return bool(self.urls) and _digest(url) in self.urls

    def names_host(self, host: str) -> bool:
        """Whether the host (as `addresses.host_of` spells it) or a domain above it is listed."""
        if not self.hosts:
            return False
        labels = host.split(".")
        return any(".".join(labels[i:]) in self.hosts for i in range(len(labels)))

    def names_body(self, body: bytes, sha256: str) -> str | None:
        """The kind of list that names the body's hash, or None."""
        if sha256 in self.sha256:
            return "sha256"
        if self.md5 and hashlib.md5(body, usedforsecurity=False).hexdigest() in self.md5:
            return "md5"
        return None

    def names_picture(self, phash: int) -> bool:
        """Whether a listed perceptual hash is near."""
        if not self.phashes.size:
            return False
        distances = hamming(self.phashes, np.array(phash, dtype=np.uint64))
        return bool((distances <= self.max_hamming).any())


@lru_cache(maxsize=4)
def load_block_lists(config: BlockConfig) -> BlockLists:
    """Read the files; once per process and configuration.

    Raises:
        UserError: a file is missing, or an entry is not what its list holds.
    """
    digests = {
        name: frozenset(_entries(getattr(config, name), rf"[0-9a-f]{{{digits}}}"))
        for name, digits in (("md5", 32), ("sha256", 64))
    }
    phashes = [int(entry, 16) for entry in _entries(config.phash, "[0-9a-f]{16}")]
    return BlockLists(
        urls=frozenset(map(_digest, _entries(config.urls, None))),
        hosts=frozenset(_host(entry) for entry in _entries(config.hosts, r"[^\s/:@]+")),
        phashes=np.array(phashes, dtype=np.uint64),
        max_hamming=config.phash_max_hamming,
        **digests,
    )


def _entries(path: str, pattern: str | None) -> list[str]:
    """The lines of a list, in lower case if they must match `pattern`."""
    if not path:
        return []
    if not storage.exists(path):
        raise UserError(f"no block list at {path!r}; check the path or leave the flag out")
    entries = []
    for number, line in enumerate(storage.read_bytes(path).decode().splitlines(), start=1):
        entry = line.strip() if pattern is None else line.partition("#")[0].strip().lower()
        if not entry or entry.startswith("#"):
            continue
        if pattern is not None and not re.fullmatch(pattern, entry):
            raise UserError(f"{path}:{number}: {entry[:80]!r} is no entry of this block list")
        entries.append(entry)
    return entries


def _host(entry: str) -> str:
    url = http_url(f"http://{entry}/")
    return entry if url is None else host_of(url)


def _digest(url: str) -> bytes:
    """Of the URL as it would be asked for, however it is spelled."""
    parsed = http_url(url)
    spelled = canonical_url(url) if parsed is None else str(parsed.with_host(host_of(parsed)))
    content = spelled.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
