"""CLIP's tokenizer in the files that transformers and the tokenizers library read.

    vocab.json, merges.txt     the byte pairs, from the file that open_clip brings
    tokenizer.json             all of it: cleaning, splitting, byte pairs, start and end
    tokenizer_config.json      its class and the context length

Ids are those of training for text that ftfy would leave as it is; repairing mis-decoded text and
HTML entities are no part of these files.
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from diagonal_infra.run_dir import to_json
from diagonal_train.streaming.tokenize import END, START, byte_letters, read_vocabulary

THEIR_START, THEIR_END = "<|startoftext|>", "<|endoftext|>"
"""transformers' names for the two special tokens."""
PIECES = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def write_for_transformers(folder: Path, context_length: int) -> None:
    """The files of a CLIPTokenizer; it pads with the end of text, behind the one that counts."""
    vocabulary, merges = _vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    build_tokenizer().save(str(folder / "tokenizer.json"))
    tokens = {
        "bos_token": THEIR_START,
        "eos_token": THEIR_END,
        "unk_token": THEIR_END,
        "pad_token": THEIR_END,
    }
    (folder / "special_tokens_map.json").write_bytes(to_json(tokens))
    record = {"tokenizer_class": "CLIPTokenizer", "model_max_length": context_length, **tokens}
    (folder / "tokenizer_config.json").write_bytes(to_json(record))


def write_for_graphs(folder: Path, context_length: int) -> None:
    """A tokenizer.json that cuts and pads to the context length, so that its ids are the input."""
    tokenizer = build_tokenizer()
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=0, pad_token="!")
    tokenizer.save(str(folder / "tokenizer.json"))


def build_tokenizer() -> Tokenizer:
    """CLIP's tokenizer without a limit of length."""
    vocabulary, merges = _vocabulary()
    pairs = BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=THEIR_END)
    tokenizer = Tokenizer(pairs)
    tokenizer.add_special_tokens([THEIR_START, THEIR_END])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (THEIR_END, vocabulary[THEIR_END]),
        (THEIR_START, vocabulary[THEIR_START]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    return tokenizer


def end_id() -> int:
    """The token whose place is pooled."""
    return _vocabulary()[0][THEIR_END]


def start_id() -> int:
    """The token that every text begins with."""
    return _vocabulary()[0][THEIR_START]


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocabulary, merges = read_vocabulary(byte_letters())
    theirs = {START: THEIR_START, END: THEIR_END}
    return {theirs.get(token, token): number for token, number in vocabulary.items()}, merges
