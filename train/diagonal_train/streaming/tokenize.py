"""Captions to token ids, a batch at a time.

    caption ─► clean ─► lower ─► words between spaces ─► pieces (regex) ─► byte pairs (Rust)
                                 └──────── remembered: most captions end here ─────────┘

A row of T ids is start, tokens, end, then zeros; a longer caption is cut and ends in end. Ids need
two bytes, so a word's ids are kept as bytes and a row is their concatenation.

Shape suffixes: B captions, T context_length.
"""

import functools
import gzip
import html
import importlib.util
from array import array
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import regex
import torch
from tokenizers.models import BPE
from torch import Tensor

MAX_CACHED_WORDS = 2**16
"""About 15 MB of them."""
MAX_CACHED_CHARACTERS = 64
"""A longer word is a URL or the like, seen once."""
MAX_ENCODER_WORDS = 2**18
MERGES = 49_152 - 256 - 2
"""Byte pairs that CLIP uses of its vocabulary file."""
START, END = "<start_of_text>", "<end_of_text>"
ID = np.dtype(np.uint16)
PLAIN = regex.compile(r"[\t\n\r -%'-~]*")
"""Captions that neither ftfy nor `html.unescape` would change but for spaces: printable ASCII
without `&`."""
PIECES = regex.compile(
    rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+",
    regex.IGNORECASE,
)
"""None spans a space, so that words can be split one by one."""


class ClipTokenizer:
    """CLIP's tokenizer; the ids are those of open_clip's `SimpleTokenizer` for every caption.

    Lone surrogates become U+FFFD. Pickled, it is its context length alone; the byte pairs are read
    by the first call in a process and shared by all tokenizers of it and of its forks.
    """

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length

    def __call__(self, captions: list[str]) -> Tensor:
        """Token ids, B×T int64."""
        words, length = word_ids(), self.context_length * ID.itemsize
        end = words[END]
        rows = []
        for caption in captions:
            # A word has at least one token, so no more words than tokens are needed.
            split = _clean(caption).split(maxsplit=self.context_length)[: self.context_length]
            ids = words[START] + b"".join([words[word] for word in split])
            rows.append((ids[: length - ID.itemsize] + end).ljust(length, b"\0"))
        ids_BT = np.frombuffer(b"".join(rows), ID).reshape(len(rows), self.context_length)
        return torch.from_numpy(ids_BT.astype(np.int64))


def cut_captions(tokens_BT: Tensor, length: int) -> Tensor:
    """Rows of `ClipTokenizer`, with what a context length of `length` would give and zeros behind.

    The end token is the highest id there is; 0 is a token too.
    """
    if length >= tokens_BT.shape[1]:
        return tokens_BT
    end_B, end_at_B = tokens_BT.max(1)
    cut_BT = tokens_BT.clone()
    cut_BT[:, length - 1] = torch.where(end_at_B >= length, end_B, cut_BT[:, length - 1])
    cut_BT[:, length:] = 0
    return cut_BT


class WordIds(dict[str, bytes]):
    """Ids of cleaned words, worked out when first asked for.

    It holds START, END and at most `MAX_CACHED_WORDS` more; when full, it forgets these.
    """

    def __init__(self) -> None:
        super().__init__()
        self._letters = byte_letters()
        vocabulary, merges = read_vocabulary(self._letters)
        self._special = {word: _packed([vocabulary[word]]) for word in (START, END)}
        # Its own cache would never be hit.
        self._pairs = BPE(vocabulary, merges, cache_capacity=0, end_of_word_suffix="</w>")
        self.update(self._special)

    def __missing__(self, word: str) -> bytes:
        ids = b"".join(self._piece_ids(piece) for piece in PIECES.findall(word))
        if len(word) <= MAX_CACHED_CHARACTERS:
            if len(self) >= MAX_CACHED_WORDS:
                self.clear()
                self.update(self._special)
            self[word] = ids
        return ids

    def _piece_ids(self, piece: str) -> bytes:
        if piece in self._special:
            return self._special[piece]
        letters = piece.encode().decode("latin-1").translate(self._letters)
        return _packed([token.id for token in self._pairs.tokenize(letters)])


@functools.cache
def word_ids() -> WordIds:
    """This process's words."""
    return WordIds()


def byte_letters() -> dict[int, str]:
    """A printable character for each byte, in the order in which they are numbered."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + number) for number, byte in enumerate(rest)
    }


def read_vocabulary(letters: dict[int, str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Ids by token, and the byte pairs by rank, out of the file that open_clip brings."""
    # Importing open_clip takes seconds.
    found = importlib.util.find_spec("open_clip")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : MERGES + 1]
    merges = [(first, second) for first, second in map(str.split, lines)]
    tokens = [*letters.values(), *(f"{letter}</w>" for letter in letters.values())]
    tokens += [first + second for first, second in merges]
    return {token: number for number, token in enumerate([*tokens, START, END])}, merges


def _clean(caption: str) -> str:
    if not PLAIN.fullmatch(caption):
        caption = html.unescape(html.unescape(ftfy.fix_text(caption)))
    return caption.lower()


def _packed(ids: list[int]) -> bytes:
    return array(ID.char, ids).tobytes()


class Tokenizer:
    """Another of open_clip's tokenizers at a fixed context length; the ids are its own.

    Its cache of split words grows with every new word, hence without bound on web text; it is
    emptied here when it holds `MAX_ENCODER_WORDS`.
    """

    def __init__(self, encoder: Any, context_length: int) -> None:
        self._encoder = encoder
        self.context_length = context_length

    def __call__(self, captions: list[str]) -> Tensor:
        """Token ids, B×T int64."""
        cache = getattr(self._encoder, "cache", None)
        if cache is not None and len(cache) > MAX_ENCODER_WORDS:
            special = {word: split for word, split in cache.items() if word == split}
            cache.clear()
            cache.update(special)
        return self._encoder(captions, context_length=self.context_length)
