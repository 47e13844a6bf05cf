"""Asking the model: labels for a picture, and how a batch's pictures and captions match."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from diagonal_eval.explore.asked import At, Explore, Found, Name, Start
from diagonal_eval.explore.cards import SUCCESS, picture, plain
from diagonal_eval.explore.diff import spread
from diagonal_infra.errors import StorageError, UserError

MAX_LABELS = 100
MAX_LABEL_CHARS = 300


def zeroshot(
    explorer: Explore,
    uid: Annotated[str, Query(pattern="^([0-9a-f]{32})?$")] = "",
    at: At = None,
    labels: Annotated[str, Query(max_length=20_000)] = "",
    template: Name = "a photo of {}",
    scale: Annotated[float | None, Query(gt=0, le=1_000)] = None,
) -> Found:
    """Labels by how well they fit a picture."""
    model, view = explorer.model, explorer.view
    scale = model.scale if scale is None else scale
    asked = {"labels": labels, "template": template, "scale": scale, "model": explorer.model_name}
    if not uid:
        places = spread(view.index.with_reason(""), 24)
        return asked | {"uid": "", "ranking": [], "cards": view.rows.cards(places)}
    row = view.row(uid, at)
    found = asked | {"uid": uid, "at": row["at"], "cards": view.rows.cards([row["at"]])}
    if not labels.strip():
        return found | {"ranking": []}
    if "{}" not in template:
        raise UserError(f"template {template!r} has no {{}} for the label")
    ranking = model.rank(picture(view.dataset, row), split_labels(labels), template, scale)
    return found | {"ranking": [asdict(ranked) for ranked in ranking]}


def matrix(
    explorer: Explore,
    shard: Name = "",
    first: Start = 0,
    count: Annotated[int, Query(ge=1, le=32)] = 16,
) -> Found:
    """Cosines of a batch: rows are pictures, columns are captions, in the shard's order."""
    model, view = explorer.model, explorer.view
    name = view.snapshot.check(shard or view.snapshot.names[0])
    table = view.rows.table(name)["status"].to_pylist()
    stored = [n + view.snapshot.starts[name] for n, said in enumerate(table) if said == SUCCESS]
    cards, images, unreadable = [], [], []
    for card in view.rows.cards(stored[first : first + count]):
        row = view.row(card["uid"], card["at"])
        try:
            images.append(picture(view.dataset, row))
            cards.append(card)
        except StorageError as error:
            unreadable.append(str(error))
    found = {"shard": name, "first": first, "count": count, "model": explorer.model_name}
    if not cards:
        return found | {"cards": [], "cosines": [], "problems": unreadable, "best": {}}
    cosine_NN = model.similarities(images, [card["caption"] for card in cards])
    own = range(len(cards))
    best = {
        "caption_of_picture": int((cosine_NN.argmax(axis=1) == own).sum()),
        "picture_of_caption": int((cosine_NN.argmax(axis=0) == own).sum()),
    }
    rows = [[plain(value) for value in row] for row in cosine_NN]
    return found | {"cards": cards, "cosines": rows, "problems": unreadable, "best": best}


def split_labels(text: str) -> list[str]:
    """One label a line, each once.

    Raises:
        UserError: none, too many, or one that is too long.
    """
    labels = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not labels:
        raise UserError("type at least one label, one a line")
    if len(labels) > MAX_LABELS or max(map(len, labels)) > MAX_LABEL_CHARS:
        raise UserError(f"at most {MAX_LABELS} labels of {MAX_LABEL_CHARS} characters")
    return labels
