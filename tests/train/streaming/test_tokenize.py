import multiprocessing
import pickle
import subprocess
import sys
import time

import numpy as np
import open_clip
import pytest
import torch

from diagonal_train.config.model import ModelConfig, TextConfig
from diagonal_train.encoders.models import build_tokenizer, is_plain
from diagonal_train.streaming import tokenize
from diagonal_train.streaming.tokenize import END, START, ClipTokenizer, Tokenizer, word_ids

CAPTIONS = ["a red circle", "ÄÖÜ ß 名前 🙂", "it's 2 o'clock", "", "word " * 100, "  spaces\tand\n"]
EDGES = [
    *CAPTIONS,
    f"{START}hello{END} {END}",
    "a<END_OF_TEXT>b <|startoftext|> <start_of_text",
    "'ſ it'ſ <ſtart_of_text> IT'S WE'LL",  # letters that only a case-blind match takes for s
    "&amp;amp;lt; &lt;b&gt; &nbsp;x & &# &#0; &#xD800; &notanentity;",
    "nul\x00 vt\vb fs\x1cc us\x1fe del\x7ff nel\x85g \x1b[31mred ff\fh",
    "\ud800 lone, \ud83d\ude00 paired",
    "ΑΣ ΣΑΣ. Σ İstanbul ǅ ﬁ ﬀ ŀ ĸ ŉ",
    "e\u0301 é Å a\u0301\u0302\u0303",
    "👨‍👩‍👧‍👦 🇩🇪 ☃️ ½ ² Ⅷ ١٢",
    "\u200b\ufeff zero \u180e \u2028 width\u3000wide",
    "â€œmojibakeâ€\x9d Ã© donâ€™t “quote” ｆｕｌｌ",
    "一个没有空格的句子 ไม่มีช่องว่าง",
    "under_score http://a.b/c?d=e&f=g #1.5% -- ''' 's",
    *("word " * count for count in (74, 75, 76, 77)),
    "x" * 5000,
    "!?" * 200,
]
SCRIPTS = ((33, 127), (0xA1, 0x250), (0x370, 0x590), (0x5D0, 0x700), (0x900, 0xE80))
SCRIPTS += ((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF), (0x300, 0x36F), (1, 0xD7FF))
ODD = ("&amp;", "&lt;b&gt;", "&eacute;", "don't", "it’s", "--", "...", "🙂", START, END, "â€™", "½")
SPACES = (*(16 * " "), "  ", "\t", "\n", "\r\n", "\xa0", "\u3000", "", "-", ", ", ". ")


def generated(count: int) -> list[str]:
    """Captions of known words, numbers, scripts, entities and odd spaces."""
    rng = np.random.default_rng(0)
    tokens, _ = tokenize.read_vocabulary(tokenize.byte_letters())
    words = [token[:-4] for token in tokens if token.endswith("</w>")]
    captions = []
    for size in rng.integers(0, 16, count):
        parts = []
        for kind, space in zip(rng.integers(0, 80, size), rng.choice(SPACES, size), strict=True):
            if kind < 70:
                part = words[rng.integers(len(words))]
                part = (part, part.title(), part.upper())[max(0, kind - 67)]
            elif kind < 74:
                part = str(rng.integers(10 ** rng.integers(1, 9)))
            elif kind < 77:
                part = ODD[rng.integers(len(ODD))]
            else:
                span = SCRIPTS[rng.integers(len(SCRIPTS))]
                part = "".join(map(chr, rng.integers(*span, rng.integers(1, 6))))
            parts += [part, space]
        captions.append("".join(parts))
    return captions


def test_100_000_captions_have_open_clips_ids() -> None:
    ours, theirs = ClipTokenizer(77), open_clip.SimpleTokenizer(context_length=77)
    captions = generated(100_000)
    assert len(set(captions)) > 90_000
    for start in range(0, len(captions), 1000):
        part = captions[start : start + 1000]
        differ = (ours(part) != theirs(part)).any(1).nonzero()[:, 0].tolist()
        assert not differ, [part[i] for i in differ[:5]]


@pytest.mark.parametrize("length", [1, 2, 16, 77])
def test_odd_captions_have_open_clips_ids(length: int) -> None:
    ours, theirs = ClipTokenizer(length), open_clip.SimpleTokenizer(context_length=length)
    for caption in EDGES:
        assert torch.equal(ours([caption]), theirs([caption])), caption


def test_every_character_alone_and_in_a_word_has_open_clips_ids() -> None:
    ours, theirs = ClipTokenizer(77), open_clip.SimpleTokenizer(context_length=77)
    characters = [chr(code) for code in range(0x3000)]
    for pattern in ("{}", "a{}b {}c d{}"):
        captions = [pattern.replace("{}", character) for character in characters]
        assert torch.equal(ours(captions), theirs(captions))


def test_no_captions_are_no_rows() -> None:
    assert ClipTokenizer(77)([]).shape == (0, 77)


def test_a_megabyte_takes_seconds() -> None:
    tokenizer = ClipTokenizer(77)
    long = ("word " * 200_000, "abcdefghij" * 100_000, "naïve" * 200_000, "&amp;" * 200_000)
    started = time.process_time()
    tokenizer(list(long))
    assert time.process_time() - started < 20
    assert max(len(word) for word in word_ids()) <= tokenize.MAX_CACHED_CHARACTERS


def test_forgetting_words_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = ClipTokenizer(77)
    first = tokenizer(EDGES)
    monkeypatch.setattr(tokenize, "MAX_CACHED_WORDS", 3)
    word_ids().clear()
    assert torch.equal(tokenizer(EDGES), first)
    assert len(word_ids()) <= 3
    assert {START, END} <= word_ids().keys()


def test_a_pickle_carries_no_vocabulary_and_gives_the_same_ids() -> None:
    tokenizer = ClipTokenizer(16)
    ids = tokenizer(CAPTIONS)
    content = pickle.dumps(tokenizer)
    assert len(content) < 200
    assert torch.equal(pickle.loads(content)(CAPTIONS), ids)


def test_a_fork_tokenizes_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = ClipTokenizer(16)
    ids = tokenizer(CAPTIONS)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(tokenizer, (CAPTIONS,)).tolist() == ids.tolist()
    assert "fork" not in capfd.readouterr().err


def test_open_clip_is_not_imported() -> None:
    code = (
        "import sys; from diagonal_train.streaming.tokenize import ClipTokenizer; "
        "ClipTokenizer(77)(['a']); sys.exit('open_clip' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("length", [16, 77])
def test_a_models_ids_are_open_clips(length: int) -> None:
    tokenizer = build_tokenizer(ModelConfig(text=TextConfig(context_length=length)))
    expected = open_clip.tokenize(CAPTIONS, context_length=length)
    assert isinstance(tokenizer, ClipTokenizer)
    assert torch.equal(tokenizer(CAPTIONS), expected)


def test_only_models_with_clips_own_tokenizer_get_the_fast_one() -> None:
    assert isinstance(build_tokenizer(ModelConfig(name="ViT-B-32")), ClipTokenizer)
    canonical = open_clip.SimpleTokenizer(clean="canonicalize")
    longer = open_clip.SimpleTokenizer(additional_special_tokens=["<x>"])
    masked = open_clip.SimpleTokenizer(reduction_mask="random")
    assert not any(is_plain(encoder) for encoder in (canonical, longer, masked))


def test_emptying_an_encoders_full_cache_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize, "MAX_ENCODER_WORDS", 3)
    encoder = open_clip.SimpleTokenizer()
    tokenizer = Tokenizer(encoder, 77)
    first = tokenizer(CAPTIONS)
    assert torch.equal(tokenizer(CAPTIONS), first)
    tokenizer(["one"])
    assert len(encoder.cache) <= 4
