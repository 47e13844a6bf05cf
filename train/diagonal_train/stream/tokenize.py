"""Captions to token ids, a batch at a time.

T: context_length. A row is start, tokens, end, then zeros; a longer caption is cut and ends in end.
"""

from typing import Any

from torch import Tensor

MAX_CACHED_WORDS = 2**18


class Tokenizer:
    """open_clip's tokenizer at a fixed context length; the ids are its own.

    Its cache of split words grows with every new word, hence without bound on web text; it is
    emptied here when it holds `MAX_CACHED_WORDS`.
    """

    def __init__(self, encoder: Any, context_length: int) -> None:
        self._encoder = encoder
        self.context_length = context_length

    def __call__(self, captions: list[str]) -> Tensor:
        """Token ids, B×T int64."""
        cache = getattr(self._encoder, "cache", None)
        if cache is not None and len(cache) > MAX_CACHED_WORDS:
            special = {word: split for word, split in cache.items() if word == split}
            cache.clear()
            cache.update(special)
        return self._encoder(captions, context_length=self.context_length)
