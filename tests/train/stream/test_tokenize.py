import open_clip
import pytest
import torch

from diagonal_train.config import ModelConfig, TextConfig
from diagonal_train.models import build_tokenizer
from diagonal_train.stream import tokenize

CAPTIONS = ["a red circle", "ÄÖÜ ß 名前 🙂", "it's 2 o'clock", "", "word " * 100, "  spaces\tand\n"]


def test_ids_are_open_clips() -> None:
    for length in (16, 77):
        tokenizer = build_tokenizer(ModelConfig(text=TextConfig(context_length=length)))
        expected = open_clip.tokenize(CAPTIONS, context_length=length)
        assert torch.equal(tokenizer(CAPTIONS), expected)


def test_emptying_the_full_cache_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize, "MAX_CACHED_WORDS", 3)
    tokenizer = build_tokenizer(ModelConfig())
    first = tokenizer(CAPTIONS)
    assert torch.equal(tokenizer(CAPTIONS), first)
    tokenizer(["one"])
    assert len(tokenizer._encoder.cache) <= 4
