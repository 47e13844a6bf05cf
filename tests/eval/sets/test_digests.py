import json
import os
from pathlib import Path

from tests.eval.sets.tiny_sets import picture

from diagonal_eval.sets.digests import file_digests
from diagonal_eval.sets.found import picture_digest


def write(folder: Path, n: int) -> list[Path]:
    files = [folder / f"{i}.png" for i in range(n)]
    for i, file in enumerate(files):
        file.write_bytes(picture(i))
    return files


def test_digests_are_of_the_files_and_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    files = write(tmp_path, 3)
    assert file_digests(files, str(cache)) == tuple(picture_digest(picture(i)) for i in range(3))
    (kept,) = (cache / "digests").iterdir()
    table = json.loads(kept.read_bytes())
    kept.write_text(json.dumps(dict.fromkeys(table, "kept")))
    assert file_digests(files, str(cache)) == ("kept",) * 3


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    files = write(tmp_path, 2)
    before = file_digests(files, str(tmp_path / "cache"))
    files[1].write_bytes(picture(9))
    os.utime(files[1], (1, 1))
    after = file_digests(files, str(tmp_path / "cache"))
    assert after == (before[0], picture_digest(picture(9)))


def test_no_files_have_no_digests(tmp_path: Path) -> None:
    assert file_digests([], str(tmp_path / "cache")) == ()
    assert not (tmp_path / "cache").exists()
