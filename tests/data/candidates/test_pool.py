"""All stages behind reading, against a plain loop over all rows, however they are spread."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pytest

from diagonal_data.candidates.balance import lots_of
from diagonal_data.candidates.config import BalanceConfig, DedupConfig
from diagonal_data.candidates.counts import read_counts
from diagonal_data.candidates.exchange import write_partitioned
from diagonal_data.candidates.found import Found, found_table
from diagonal_data.candidates.pool import make_parts
from diagonal_data.candidates.stages import PoolParams
from diagonal_data.candidates.url_key import url_keys
from diagonal_data.filters.draws import chance, draw
from diagonal_data.parquet import read_parquet
from diagonal_data.schema import CANDIDATE_SCHEMA, uid_for
from diagonal_infra import storage

Result = TypeVar("Result")
ENTRIES = ["red", "car", "red car", "dog", "sea", "tree", "house", "of", "a"]
T, MOST = 40, 6


def some_rows(number: int = 1500) -> list[Found]:
    dice = random.Random(0)
    rows = []
    for _ in range(number):
        words = dice.choices([*ENTRIES, "x", "y"], [3, 3, 2, 1, 1, 1, 1, 9, 9, 9, 9], k=3)
        size = dice.choice([None, 10, 20])
        texts = [" ".join(words), *dice.choices(["", "more"], k=dice.randrange(2))]
        rows.append(
            Found(
                url=f"https://h{dice.randrange(40)}.org/{dice.randrange(12)}.jpg"
                + dice.choice(["", "?utm_source=x"]),
                texts=texts,
                sources=["alt", "title"][: len(texts)],
                page_url=f"https://p.org/{dice.randrange(3)}",
                width_hint=size,
                height_hint=size,
            )
        )
    return rows


ROWS = some_rows()


def in_process(
    function: Callable[[int], Result], items: Sequence[int]
) -> Iterator[tuple[int, Result]]:
    return ((item, function(item)) for item in items)


def params_for(folder: Path, partitions: int = 1, **changes: Any) -> PoolParams:
    metadata = folder.parent / "entries.txt"
    metadata.write_text("\n".join(ENTRIES))
    params = PoolParams(
        output=str(folder),
        partitions=partitions,
        clean="none",
        detect_language=False,
        languages=(),
        dedup=DedupConfig(),
        balance=BalanceConfig(metadata=str(metadata), t=T),
    )
    return replace(params, **changes)


def write_read(params: PoolParams, rows: Sequence[Found], files: int = 1) -> None:
    for number in range(files):
        table = found_table(rows[number::files])
        keys = url_keys(table["url"])
        path = storage.join(params.output, "read", f"{number}.parquet")
        partition = (keys % params.partitions).astype(int)
        write_partitioned(path, table.append_column("key", pa.array(keys)), partition, {})


def candidates(params: PoolParams) -> list[dict[str, Any]]:
    rows = []
    for number in range(params.partitions):
        part = read_parquet(storage.join(params.output, f"part-{number:05d}.parquet"))
        assert part.schema.remove_metadata() == CANDIDATE_SCHEMA
        assert part["uid"].to_pylist() == sorted(part["uid"].to_pylist())
        rows += part.to_pylist()
    return sorted(rows, key=lambda row: row["uid"])


def halves(row: Found) -> np.ndarray:
    uid = uid_for(row.url, row.texts[0])
    return np.array([[int(uid[:16], 16), int(uid[16:], 16)]], np.uint64)


def lot(row: Found, salt: str) -> int:
    return int(draw(0, halves(row), salt)[0])


def naive_pool(params: PoolParams) -> list[Found]:
    """Copies and frequent captions gone; of exact copies any one, as only uids are compared."""
    groups: dict[tuple[int, str], list[Found]] = defaultdict(list)
    for row, key in zip(ROWS, url_keys([row.url for row in ROWS]).tolist(), strict=True):
        groups[key, row.texts[0]].append(row)
    kept = {
        group: min(rows, key=lambda row: (-((row.width_hint or 0) ** 2), len(row.url)))
        for group, rows in groups.items()
    }
    if params.dedup.by == "url":
        best: dict[int, Found] = {}
        for (key, _), row in kept.items():
            if key not in best or lot(row, "sample") < lot(best[key], "sample"):
                best[key] = row
        kept = {(key, row.texts[0]): row for key, row in best.items()}
    captions: dict[str, list[Found]] = defaultdict(list)
    for row in kept.values():
        captions[row.texts[0]].append(row)
    most = params.dedup.max_per_caption
    if most and params.dedup.frequent == "drop":
        captions = {text: rows for text, rows in captions.items() if len(rows) <= most}
    elif most:
        captions = {
            text: sorted(rows, key=lambda row: lot(row, "cap"))[:most]
            for text, rows in captions.items()
        }
    return [row for rows in captions.values() for row in rows]


def naive_uids(params: PoolParams) -> set[str]:
    pool = naive_pool(params)
    found = {
        place: [row for row in pool if f" {entry} " in f" {row.texts[0]} "]
        for place, entry in enumerate(ENTRIES)
    }
    t, stay = params.balance.t, set()
    for place, rows in found.items():
        lots = {id(row): lots_of(halves(row), np.array([place]), 0) for row in rows}
        if params.balance.rule == "cap":
            stay |= {id(row) for row in sorted(rows, key=lambda row: lots[id(row)])[:t]}
        else:
            p = min(1, t / len(rows))
            stay |= {id(row) for row in rows if chance(lots[id(row)])[0] < p}
    return {uid_for(row.url, row.texts[0]) for row in pool if id(row) in stay}


@pytest.mark.parametrize(
    ("dedup", "rule"),
    [
        (DedupConfig(), "probability"),
        (DedupConfig(), "cap"),
        (DedupConfig(by="url"), "probability"),
        (DedupConfig(max_per_caption=MOST), "probability"),
        (DedupConfig(max_per_caption=MOST, frequent="cap"), "cap"),
    ],
)
def test_the_candidates_are_those_of_a_plain_loop(
    tmp_path: Path, dedup: DedupConfig, rule: Any
) -> None:
    params = params_for(tmp_path / "out", 3, dedup=dedup)
    params = replace(params, balance=replace(params.balance, rule=rule))
    write_read(params, ROWS)
    counts = make_parts(params, in_process)
    found = candidates(params)
    assert {row["uid"] for row in found} == naive_uids(params)
    assert sum(counts.values()) == len(ROWS)
    assert counts["kept"] == len(found)
    assert 100 < len(found) < len(naive_pool(params)) < len(ROWS)


def test_neither_order_nor_files_nor_partitions_matter(tmp_path: Path) -> None:
    dedup = DedupConfig(max_per_caption=MOST, frequent="cap")
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    results = []
    for number, (rows, files, partitions) in enumerate([(ROWS, 1, 1), (shuffled, 4, 7)]):
        params = params_for(tmp_path / str(number), partitions, dedup=dedup)
        write_read(params, rows, files)
        results.append((make_parts(params, in_process), candidates(params)))
    assert results[0] == results[1]


def test_columns_say_what_was_found(tmp_path: Path) -> None:
    params = params_for(tmp_path / "out", balance=BalanceConfig())
    rows = [
        Found("https://a.org/1.jpg", ["", "red  car", "other"], ["alt", "title", "og"], lang="fr"),
        Found("https://a.org/2.jpg", [" "], ["alt"]),
    ]
    write_read(params, rows)
    assert make_parts(params, in_process) == {"kept": 1, "no_text": 1}
    [row] = candidates(params)
    assert row["uid"] == uid_for("https://a.org/1.jpg", "red car")
    assert (row["caption"], row["caption_raw"], row["source"]) == ("red car", "red  car", "title")
    assert row["other_texts"] == ["", "other"]
    assert (row["lang"], row["lang_p"]) == ("fr", None)
    assert (row["matches"], row["keep_p"]) == (None, None)


def test_matches_and_probabilities_are_columns(tmp_path: Path) -> None:
    params = params_for(tmp_path / "out", 2)
    write_read(params, ROWS)
    counts = make_parts(params, in_process)
    counted = read_counts(params.output)
    assert counted is not None
    assert (list(counted.texts), counted.t) == (ENTRIES, T)
    expected = Counter(
        place
        for row in naive_pool(params)
        for place, entry in enumerate(ENTRIES)
        if f" {entry} " in f" {row.texts[0]} "
    )
    assert counted.counts.tolist() == [expected[place] for place in range(len(ENTRIES))]
    for row in candidates(params):
        lost = [1 - min(1.0, T / float(counted.counts[place])) for place in row["matches"]]
        assert row["keep_p"] == pytest.approx(1 - math.prod(lost), abs=1e-6)
    assert counts["no_entry"] + counts["balanced_away"] + counts["duplicate"] > 0


def test_rule_none_matches_and_keeps_all(tmp_path: Path) -> None:
    params = params_for(tmp_path / "out")
    params = replace(params, balance=replace(params.balance, rule="none"))
    write_read(params, ROWS)
    assert make_parts(params, in_process)["kept"] == len(naive_pool(params))
    assert all(row["keep_p"] is None and row["matches"] is not None for row in candidates(params))


def test_another_t_repeats_the_draw_and_nothing_before_it(tmp_path: Path) -> None:
    params = params_for(tmp_path / "out", 3)
    write_read(params, ROWS)
    make_parts(params, in_process)
    pool = {path: Path(path).stat().st_mtime_ns for path in params.paths("pool")}
    larger = replace(params, balance=replace(params.balance, t=2 * T))
    make_parts(larger, in_process)
    assert {path: Path(path).stat().st_mtime_ns for path in params.paths("pool")} == pool
    assert {row["uid"] for row in candidates(larger)} == naive_uids(larger)
    cleaned = replace(params, clean="coyo")
    make_parts(cleaned, in_process)
    assert all(Path(path).stat().st_mtime_ns != pool[path] for path in params.paths("pool"))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    params = params_for(tmp_path / "out", 3)
    params = replace(params, balance=replace(params.balance, rule="cap"))
    write_read(params, ROWS)
    for steps in range(1, 16):

        def dying(function: Callable[[int], Result], items: Sequence[int]) -> Any:
            nonlocal steps
            for item in items:
                if not (steps := steps - 1):
                    raise KilledError
                yield item, function(item)

        with pytest.raises(KilledError):
            make_parts(params, dying)
    assert make_parts(params, in_process)["kept"] == len(candidates(params))
    assert {row["uid"] for row in candidates(params)} == naive_uids(params)


def test_more_input_makes_everything_anew_and_leaves_no_old_part(tmp_path: Path) -> None:
    params = params_for(tmp_path / "out", 4)
    write_read(params, ROWS)
    make_parts(params, in_process)
    fewer = replace(params, partitions=1)
    for name in storage.list_files(storage.join(params.output, "read")):
        storage.delete(storage.join(params.output, "read", name))
    write_read(fewer, ROWS, files=2)
    make_parts(params_for(tmp_path / "out", 1), in_process)
    files = storage.list_files(params.output, ".parquet")
    assert files == ["part-00000.parquet"]
    assert {row["uid"] for row in candidates(fewer)} == naive_uids(fewer)
