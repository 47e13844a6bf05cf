"""Words and characters of captions, hosts of URLs: of a whole column at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PLAIN_HOST = r"^[^:/?#]*://(?P<host>[^/?#:]*)"
ANY_HOST = r"^[^:/?#]*://(?:[^/?#]*@)?(?P<host>\[[^\]]*\]|[^/?#:]*)"

WIDE_SPACES = tuple(
    character.encode() for character in map(chr, range(0x80, 0x3001)) if character.isspace()
)
"""The other white space of Unicode, in UTF-8: it begins with C2, E1, E2 or E3."""


def count_words(captions: pa.Array) -> pa.Array:
    """Words of each caption as `len(caption.split())`; 0 where there is none. int32."""
    texts = captions.cast(pa.large_string())
    _, offsets, characters = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if characters is None or ends[-1] == ends[0]:
        return pa.array(np.zeros(len(texts), np.int32))
    text = np.frombuffer(characters, np.uint8)[ends[0] : ends[-1]]
    space = _is_space(text)
    starts = ~space
    starts[1:] &= space[:-1]
    ends = ends - ends[0]
    # A caption's first letter starts a word, whatever the caption before ends with.
    filled = ends[:-1][ends[1:] > ends[:-1]]
    starts[filled] = ~space[filled]
    counts = np.diff(np.searchsorted(np.flatnonzero(starts), ends))
    return pa.array(counts.astype(np.int32))


def count_characters(captions: pa.Array) -> pa.Array:
    """Code points of each caption, as SQL's `length`. int32."""
    return pc.call_function("utf8_length", [captions]).cast(pa.int32())


def host_names(urls: pa.Array) -> pa.Array:
    """Host of each URL as `rows.host_of` has it: lower case, empty for what is no URL."""
    hosts = _extracted(urls, PLAIN_HOST)
    special = pc.call_function("match_substring_regex", [urls], pc.MatchSubstringOptions(r"[@\[]"))
    if pc.call_function("any", [special]).as_py():
        # Seldom, so the plain pattern, which is many times faster, may run in vain.
        bare = pc.call_function("utf8_trim", [_extracted(urls, ANY_HOST)], pc.TrimOptions("[]"))
        hosts = pc.call_function("if_else", [special, bare, hosts])
    return pc.call_function("utf8_lower", [hosts])


def _extracted(urls: pa.Array, pattern: str) -> pa.Array:
    """The pattern's group; empty where it is not found, null where there is no URL."""
    options = pc.ExtractRegexOptions(pattern)
    found = pc.call_function("extract_regex", [urls], options)
    (hosts,) = found.flatten()
    return pc.call_function("if_else", [urls.is_valid(), hosts.fill_null(""), None])


def _is_space(text: np.ndarray) -> np.ndarray:
    """Mask of the bytes that belong to white space."""
    # Unsigned, what is below the range wraps round to above it: \t to \r, and 0x1C to the blank.
    space = (text - np.uint8(0x09) < 5) | (text - np.uint8(0x1C) < 5)
    places = np.flatnonzero((text == WIDE_SPACES[0][0]) | (text - np.uint8(0xE1) < 3))
    padded = np.concatenate([text, np.zeros(2, np.uint8)])
    for pattern in WIDE_SPACES:
        found = places
        for step, byte in enumerate(pattern):
            found = found[padded[found + step] == byte]
        for step in range(len(pattern)):
            space[found + step] = True
    return space
