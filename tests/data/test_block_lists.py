import hashlib
from pathlib import Path

import pytest

from diagonal_data.block_lists import BlockLists, load_block_lists
from diagonal_data.fetch_config import BlockConfig
from diagonal_infra.errors import UserError

BODY = b"a picture"


def lists_of(tmp_path: Path, kind: str, text: str, **settings: int) -> BlockLists:
    path = tmp_path / f"{kind}.txt"
    path.write_text(text)
    return load_block_lists(BlockConfig(**{kind: str(path)}, **settings))  # pyright: ignore[reportArgumentType]  # keywords of one dataclass


def test_urls_are_compared_in_canonical_form(tmp_path: Path) -> None:
    text = "# withdrawn\nHTTP://X.test:80/a?b#c\n\nhttp://bücher.test/ü.jpg\n"
    lists = lists_of(tmp_path, "urls", text)
    assert lists.names_url("http://x.test/a?b")
    assert lists.names_url("http://x.test./a?b")
    assert not lists.names_url("http://x.test/a?B")
    assert lists.names_url("http://xn--bcher-kva.test/%C3%BC.jpg")


@pytest.mark.parametrize(
    ("host", "named"),
    [("bad.test", True), ("img.bad.test", True), ("notbad.test", False), ("test", False)],
)
def test_a_host_stands_for_its_subdomains(tmp_path: Path, host: str, named: bool) -> None:
    lists = lists_of(tmp_path, "hosts", "Bad.test.  # why\nbücher.test\n")
    assert lists.names_host(host) is named
    assert lists.names_host("xn--bcher-kva.test")


def test_bodies_are_named_by_either_hash(tmp_path: Path) -> None:
    md5, sha256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()
    by_md5 = lists_of(tmp_path, "md5", md5.upper())
    assert by_md5.names_body(BODY, sha256) == "md5"
    assert by_md5.names_body(b"another", "") is None
    by_sha256 = lists_of(tmp_path, "sha256", sha256)
    assert by_sha256.names_body(BODY, sha256) == "sha256"
    assert by_sha256.names_body(b"another", "0" * 64) is None


def test_pictures_are_named_by_a_near_perceptual_hash(tmp_path: Path) -> None:
    lists = lists_of(tmp_path, "phash", "00000000000000ff\nffff000000000000", phash_max_hamming=2)
    assert lists.names_picture(0xFF)
    assert lists.names_picture(0xFC)
    assert not lists.names_picture(0xF8)


def test_no_lists_name_nothing() -> None:
    lists = load_block_lists(BlockConfig())
    assert not lists.names_url("http://x.test/")
    assert not lists.names_host("x.test")
    assert lists.names_body(BODY, "0" * 64) is None
    assert not lists.names_picture(0)


@pytest.mark.parametrize(
    ("kind", "entry"),
    [("md5", "12"), ("sha256", "g" * 64), ("phash", "ff"), ("hosts", "http://x.test/")],
)
def test_a_wrong_entry_is_the_users_mistake_by_line(tmp_path: Path, kind: str, entry: str) -> None:
    with pytest.raises(UserError, match=rf"{kind}\.txt:2: .* no entry"):
        lists_of(tmp_path, kind, f"# list\n{entry}\n")


def test_a_missing_list_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no block list at"):
        load_block_lists(BlockConfig(urls=str(tmp_path / "none.txt")))
