"""Looking and searching: shards, what failed, by text, by condition, one sample."""

from diagonal_data.manifest import funnel_of, info_from
from diagonal_data.score_sets import score_sets
from diagonal_eval.explore.asked import At, Explore, Found, Limit, Name, Start, Text, Uid
from diagonal_eval.explore.cards import SUCCESS, all_columns
from diagonal_eval.explore.diff import filter_names
from diagonal_eval.explore.embeddings import Nearest
from diagonal_eval.explore.explorer import View
from diagonal_infra import storage
from diagonal_infra.errors import UserError

MOST_NEAREST = 2_000
"""Results of a search by cosine that can be paged through."""


def overview(explorer: Explore) -> Found:
    """What there is."""
    view = explorer.view
    funnel = funnel_of(info_from(shard) for shard in view.snapshot.shards)
    found = {
        "dataset": explorer.dataset,
        "shards": len(view.snapshot.names),
        "candidates": funnel.input,
        "samples": funnel.kept,
        "reasons": funnel.reasons,
        "filters": filter_names(explorer.dataset),
        "embeddings": storage.list_folders(storage.join(explorer.dataset, "embeddings")),
        "score_sets": [each.label for each in score_sets(explorer.dataset)],
        "model": explorer.model_name,
        "columns": {},
        "problems": [],
    }
    try:
        found["columns"] = view.numeric_columns()
    except UserError as error:
        found["problems"].append(str(error))
    return found


def shards(explorer: Explore, start: Start = 0, limit: Limit = 100) -> Found:
    """Finished shards, in order."""
    known = explorer.view.snapshot.shards
    names = ("name", "candidates", "samples", "bytes", "retry_pass")
    chosen = known[start : start + limit]
    return {
        "shards": [{name: shard.get(name, 0) for name in names} for shard in chosen],
        "total": len(known),
        "start": start,
        "limit": limit,
    }


def shard(explorer: Explore, name: str, start: Start = 0, limit: Limit = 60) -> Found:
    """Samples of a shard, in order."""
    view = explorer.view
    status = view.rows.table(view.snapshot.check(name))["status"].to_pylist()
    first = view.snapshot.starts[name]
    places = [first + number for number, said in enumerate(status) if said == SUCCESS]
    cards = view.rows.cards(places[start : start + limit])
    return {"name": name, "total": len(places), "start": start, "limit": limit, "cards": cards}


def failed(explorer: Explore, reason: Name = "", start: Start = 0, limit: Limit = 60) -> Found:
    """Candidates that became no sample, by reason; those taken down are counted, not shown."""
    view = explorer.view
    counts = view.index.counts()
    reason = reason or next(iter(counts), "")
    places = view.index.with_reason(reason)
    cards = view.rows.cards(places[start : start + limit])
    total = len(places)
    page = {"total": total, "start": start, "limit": limit, "cards": cards}
    return {"reason": reason, "reasons": counts, **page}


def text(explorer: Explore, q: Text = "", start: Start = 0, limit: Limit = 60) -> Found:
    """Pictures by falling cosine with a text."""
    page = {"q": q, "start": start, "limit": limit, "model": explorer.model_name}
    if not q.strip():
        return page | {"cards": [], "total": 0, "problems": [], "is_complete": True}
    view = explorer.view
    found = explorer.nearest_to_text(view, q.strip(), min(start + limit, MOST_NEAREST))
    return page | _nearest(view, found, start, limit)


def like(explorer: Explore, uid: Uid, at: At = None, start: Start = 0, limit: Limit = 60) -> Found:
    """Pictures by falling cosine with a sample's picture; the first is most often itself."""
    view = explorer.view
    row = view.row(uid, at)
    found = explorer.nearest_to_sample(view, row, min(start + limit, MOST_NEAREST))
    page = {"uid": uid, "at": row["at"], "start": start, "limit": limit}
    return page | _nearest(view, found, start, limit)


def _nearest(view: View, found: Nearest, start: int, limit: int) -> Found:
    places, cosines = found.places[start : start + limit], found.cosines[start : start + limit]
    done = found.shards_done + len(found.problems)
    return {
        "cards": view.rows.cards(places.tolist(), {"cosine": cosines.tolist()}),
        "total": MOST_NEAREST,
        "shards_done": found.shards_done,
        "is_complete": done == len(view.snapshot.names),
        "problems": found.problems[:5],
    }


def sql(
    explorer: Explore,
    where: Text = "",
    sort: Name = "",
    descending: bool = True,
    count: bool = False,
    start: Start = 0,
    limit: Limit = 60,
) -> Found:
    """Samples that meet a condition; `count` goes on until all are counted."""
    view = explorer.view
    asked = {"where": where, "sort": sort, "descending": descending, "start": start, "limit": limit}
    if not where.strip():
        return asked | {"columns": view.numeric_columns(), "cards": [], "matches": 0}
    selection = view.selection(where, sort.lower(), descending=descending)
    page = selection.page(view.snapshot, start, limit, explorer.deadline(), whole=count)
    values = {sort: page.values} if sort else None
    return asked | {
        "cards": view.rows.cards(page.places, values),
        "matches": page.matches,
        "shards_done": page.shards_done,
        "shards": len(view.snapshot.names),
        "is_complete": page.is_complete,
        "columns": view.numeric_columns(),
    }


def sample(explorer: Explore, uid: Uid, at: At = None) -> Found:
    """Everything that is known of one candidate."""
    view = explorer.view
    row = view.row(uid, at)
    found = all_columns(view.snapshot, row)
    place = {"uid": uid, "at": row["at"], "shard": row["shard"]}
    return {**place, "is_sample": row["status"] == SUCCESS, **found}
