"""Many uids at once: `schema.uid_for` over columns.

16 bytes each, as Arrow's fixed-size binary, so that they sort and take half the space of hex.
"""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from diagonal_data.candidates.text_columns import joined, matches
from diagonal_data.schema import canonical_url
from diagonal_data.uid_set import UID_BYTES

UID_TYPE = pa.binary(UID_BYTES)
CANONICAL = r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)*/[!-\"$->@-~]*(\?[!-\"$-~]+)?$"
"""URLs that `canonical_url` leaves as they are; it may know others."""


def uids_for(urls: pa.Array, captions: pa.Array) -> pa.FixedSizeBinaryArray:
    """The uid of each URL and caption."""
    contents = joined([canonical_urls(urls), captions], "\n").cast(pa.large_binary())
    digests = [blake2b(content, digest_size=UID_BYTES).digest() for content in contents.to_pylist()]
    content = pa.py_buffer(b"".join(digests))
    return pa.FixedSizeBinaryArray.from_buffers(UID_TYPE, len(digests), [None, content])  # pyright: ignore[reportReturnType]  # what it gives for this type


def canonical_urls(urls: pa.Array) -> pa.Array:
    """`canonical_url` of each."""
    others = ~matches(urls, CANONICAL)
    if not others.any():
        return urls
    mask = pa.array(others)
    changed = [canonical_url(url) for url in urls.filter(mask).to_pylist()]
    return pc.call_function("replace_with_mask", [urls, mask, pa.array(changed, urls.type)])


def halves_of(uids: pa.Array) -> np.ndarray:
    """N×2 uint64, upper half first: what `draws.draw` takes. The uids have no nulls."""
    content = uids.buffers()[1]
    halves = np.frombuffer(content if content is not None else b"", ">u8").reshape(-1, 2)
    return halves[uids.offset : uids.offset + len(uids)].astype(np.uint64)


def hex_of(uids: pa.Array) -> pa.Array:
    """The uids as they stand in candidates: 32 hex digits, string."""
    content = uids.buffers()[1]
    packed = content.to_pybytes() if content is not None else b""
    digits = packed[uids.offset * UID_BYTES : (uids.offset + len(uids)) * UID_BYTES].hex()
    offsets = np.arange(len(uids) + 1, dtype=np.int32) * (2 * UID_BYTES)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits.encode())]
    return pa.Array.from_buffers(pa.string(), len(uids), buffers)
