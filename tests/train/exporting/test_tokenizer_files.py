from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from diagonal_train.exporting.tokenizer_files import write_for_graphs, write_for_transformers
from diagonal_train.streaming.tokenize import ClipTokenizer

CAPTIONS = [
    "a photo of a cat",
    "  tabs\tand\nlines  ",
    "It's 3.14% of Bob's £20, they'll see; we've 100 & more!",
    "UPPER lower ÀÉÎÕÜ straße İstanbul",
    "日本語のテキスト العربية עברית हिन्दी",
    "👍🏽👨‍👩‍👧 ❤️",
    "e\u0301 combining",
    "x" * 300,
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files for both readers."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_for_transformers(folder, 16)
    (folder / "graphs").mkdir()
    write_for_graphs(folder / "graphs", 16)
    return folder


def test_transformers_ids_are_those_of_training_up_to_the_padding(folder: Path) -> None:
    ours = ClipTokenizer(16)(CAPTIONS).tolist()
    theirs = AutoTokenizer.from_pretrained(folder)(CAPTIONS, truncation=True)["input_ids"]
    assert [len(ids) for ids in theirs] == [sum(i != 0 for i in row) for row in ours]
    assert all(row[: len(ids)] == ids for ids, row in zip(theirs, ours, strict=True))


def test_the_graphs_ids_are_those_of_training(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "graphs" / "tokenizer.json"))
    theirs = [encoding.ids for encoding in tokenizer.encode_batch(CAPTIONS)]
    assert theirs == ClipTokenizer(16)(CAPTIONS).tolist()
