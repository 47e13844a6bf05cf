"""Rules that compare samples with each other: copies, concepts, caps and draws.

Each sees the samples that no rule before has dropped, and none depends on their order: of equals
the preferred or the drawn ones stay. `KEYS` of the query hold what they look at.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from diagonal_data.dedup.duplicates import exact_copies, near_copies
from diagonal_data.filters.columns import HOST, Catalogue
from diagonal_data.filters.config import Balance, Caps, Duplicates, FiltersConfig, Sample
from diagonal_data.filters.draws import chance, draw
from diagonal_data.filters.pool import Pool
from diagonal_data.filters.rules import UNKNOWN, DropReason
from diagonal_infra.errors import UserError

MOST_TIMES = 2**31 - 1


def keys_for(config: FiltersConfig, catalogue: Catalogue) -> dict[str, str]:
    """Name and SQL of what the rules below look at; nothing that no rule needs."""
    cap, copies = config.cap, config.duplicates
    keys = {
        "area": "coalesce(original_width, 0)::BIGINT * coalesce(original_height, 0)",
        "digest": "CASE WHEN sha256 IS NOT NULL THEN hash(sha256) END",
        "phash": "phash",
        "picture_and_caption": "CASE WHEN phash IS NOT NULL THEN hash(row(phash, caption)) END",
        "host": f"hash({HOST})",
        "caption": "hash(caption)",
    }
    needed = {
        "area": copies.exact or copies.max_hamming >= 0 or copies.with_caption,
        "digest": copies.exact,
        "phash": copies.max_hamming >= 0,
        "picture_and_caption": copies.with_caption,
        "host": cap.host,
        "caption": cap.caption or cap.frequent_caption,
    }
    chosen = {name: sql for name, sql in keys.items() if needed[name]}
    if config.balance.most:
        chosen["entries"] = catalogue.find_score("--balance.entries", config.balance.entries)
    if cap.concept:
        chosen["concept"] = catalogue.find_score("--cap.concepts", cap.concepts)
    if cap.by:
        chosen["by"] = f"({cap.by})::DOUBLE"
    if config.weight:
        chosen["weight"] = f"({config.weight})::DOUBLE"
    return chosen


def apply_steps(pool: Pool, config: FiltersConfig) -> None:
    """Drop by every rule of the recipe in turn, then set the weights."""
    drop_copies(pool, config.duplicates)
    drop_frequent_captions(pool, config.cap.frequent_caption)
    balance(pool, config.balance, config.seed)
    apply_caps(pool, config.cap, config.seed)
    draw_sample(pool, config.sample, config.seed)
    if config.weight:
        set_weights(pool, config.seed)


def drop_copies(pool: Pool, rule: Duplicates) -> None:
    """Copies of a sample that stays: by bytes, by perceptual hash, by that and the caption."""
    for reason, places, copies in _copies(pool, rule):
        pool.drop(reason, places[copies])


def _copies(pool: Pool, rule: Duplicates) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    if rule.exact:
        places, digests = _with_key(pool, "digest")
        yield DropReason.EXACT_DUPLICATE, places, exact_copies(digests, _areas(pool, places))
    if rule.max_hamming >= 0:
        places, hashes = _with_key(pool, "phash")
        copies = near_copies(hashes, _areas(pool, places), rule.max_hamming)
        yield DropReason.PERCEPTUAL_DUPLICATE, places, copies
    if rule.with_caption:
        places, both = _with_key(pool, "picture_and_caption")
        yield DropReason.PICTURE_AND_CAPTION, places, exact_copies(both, _areas(pool, places))


def drop_frequent_captions(pool: Pool, most: int) -> None:
    """All samples of a caption that more than `most` have; 0 is no rule."""
    if most:
        places, captions = _with_key(pool, "caption")
        group, counts = groups_of(captions)
        pool.drop(DropReason.FREQUENT_CAPTION, places[counts[group] > most])


def balance(pool: Pool, rule: Balance, seed: int) -> None:
    """Each entry wins a sample with min(1, most / its samples); one win keeps the sample."""
    if not rule.most:
        return
    places, owners, entries = _entries(pool, "entries")
    found = np.zeros(len(places), bool)
    found[owners] = True
    pool.drop(DropReason.NO_CONCEPT, places[~found])
    group, counts = groups_of(entries)
    lots = chance(draw(seed, pool.halves(places)[owners], _numbers(entries)))
    won = np.zeros(len(places), bool)
    won[owners[lots < np.minimum(1.0, rule.most / counts[group])]] = True
    pool.drop(DropReason.BALANCED_AWAY, places[found & ~won])


def apply_caps(pool: Pool, cap: Caps, seed: int) -> None:
    """At most so many of one host, one caption, one concept."""
    for key, most, reason in (
        ("host", cap.host, DropReason.OVER_HOST_CAP),
        ("caption", cap.caption, DropReason.OVER_CAPTION_CAP),
        ("concept", cap.concept, DropReason.OVER_CONCEPT_CAP),
    ):
        if most:
            places, owners, entries = _entries(pool, key)
            chosen = first_of_each(pool, places, owners, entries, most, seed, by=bool(cap.by))
            stays = np.zeros(len(places), bool)
            stays[owners[chosen]] = True
            # What has no host, caption or concept is under no cap.
            stays[np.bincount(owners, minlength=len(places)) == 0] = True
            pool.drop(reason, places[~stays])


def first_of_each(
    pool: Pool,
    places: np.ndarray,
    owners: np.ndarray,
    entries: np.ndarray,
    most: int,
    seed: int,
    *,
    by: bool,
) -> np.ndarray:
    """Mask of the (owner, entry) pairs that are among the first `most` of their entry."""
    group, counts = groups_of(entries)
    chosen = np.ones(len(entries), bool)
    crowded = np.flatnonzero(counts[group] > most)
    if not len(crowded):
        return chosen
    rows, (group, _) = owners[crowded], groups_of(group[crowded])
    lots = draw(seed, pool.halves(places[rows]), "cap")
    if by:
        value = pool.key("by", places[rows]).to_numpy(zero_copy_only=False)
        order = np.lexsort((lots, -np.nan_to_num(value, nan=-np.inf), group))
    else:
        # Few groups are crowded, and numbers of 16 bits are sorted by their digits.
        order = np.argsort(lots)
        small = group.astype(np.min_scalar_type(group.max()))
        order = order[np.argsort(small[order], kind="stable")]
    ordered = group[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(begins, len(ordered)))
    rank = np.arange(len(ordered)) - np.repeat(begins, lengths)
    chosen[crowded[order[rank >= most]]] = False
    return chosen


def groups_of(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A number for each key, the same for equals, in no order; and how many have it."""
    numbers = pa.array(keys).dictionary_encode().indices.to_numpy()
    return numbers, np.bincount(numbers)


def draw_sample(pool: Pool, rule: Sample, seed: int) -> None:
    """A share by chance, then the `count` with the lowest lots."""
    if rule.share >= 1 and not rule.count:
        return
    places = pool.kept()
    lots = draw(seed, pool.halves(places), "sample")
    stays = chance(lots) < rule.share
    if rule.count and stays.sum() > rule.count:
        candidates = np.flatnonzero(stays)
        stays[:] = False
        stays[candidates[np.argsort(lots[candidates], kind="stable")[: rule.count]]] = True
    pool.drop(DropReason.NOT_SAMPLED, places[~stays])


def set_weights(pool: Pool, seed: int) -> None:
    """How often each sample is listed: the whole part, and once more by chance of the rest."""
    places = pool.kept()
    weight = pool.key("weight", places).to_numpy(zero_copy_only=False)
    unknown = np.isnan(weight)
    pool.drop(DropReason.NO_WEIGHT + UNKNOWN, places[unknown])
    places, weight = places[~unknown], weight[~unknown]
    if (weight > MOST_TIMES).any():
        raise UserError(f"--weight gives {weight.max()}; a sample is listed less often")
    whole = np.floor(np.maximum(weight, 0))
    more = chance(draw(seed, pool.halves(places), "weight")) < np.maximum(weight, 0) - whole
    times = (whole + more).astype(np.int64)
    pool.drop(DropReason.NO_WEIGHT, places[times == 0])
    pool.weights = np.ones(len(pool.codes), np.int32)
    pool.weights[places] = times


def _with_key(pool: Pool, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Kept samples that have the key, and the keys."""
    places = pool.kept()
    keys = pool.key(name, places)
    known = np.asarray(keys.is_valid())
    return places[known], keys.drop_null().to_numpy(zero_copy_only=False)


def _areas(pool: Pool, places: np.ndarray) -> np.ndarray:
    return pool.key("area", places).to_numpy(zero_copy_only=False)


def _entries(pool: Pool, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kept samples, and the entries of a key one by one with the number of their sample.

    An entry that a list repeats counts once.
    """
    places = pool.kept()
    keys = pool.key(name, places)
    if not pa.types.is_list(keys.type) and not pa.types.is_large_list(keys.type):
        owners = np.flatnonzero(np.asarray(keys.is_valid()))
        return places, owners, keys.drop_null().to_numpy(zero_copy_only=False)
    counts = np.nan_to_num(keys.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    owners, values = np.repeat(np.arange(len(keys)), counts), keys.flatten()
    known = np.asarray(values.is_valid())
    entries, owners = values.drop_null().to_numpy(zero_copy_only=False), owners[known]
    numbers, counts = groups_of(entries)
    _, first = np.unique(owners * (len(counts) + 1) + numbers, return_index=True)
    return places, owners[first], entries[first]


def _numbers(entries: np.ndarray) -> np.ndarray:
    """Entries as salts; texts by a digest of theirs."""
    if entries.dtype.kind in "iu":
        return entries
    raise UserError(f"--balance.entries holds {entries.dtype}: entries are numbers")
