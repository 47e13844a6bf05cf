"""Small pictures inside the page, a bounded number and size of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diagonal_eval.charts import data_uri, thumbnail
from diagonal_eval.suite_report.record import Confusion, TaskRecord

ReadPicture = Callable[[str, str], bytes | None]
"""Task and key to the picture's bytes; None if there is none."""
THUMBNAIL_PIXELS = 96
MOST_CONFUSIONS, MOST_PICTURES_EACH = 6, 4
MOST_BYTES = 3_000_000
"""Of all thumbnails together; later ones are left out."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample's picture as a page holds it."""

    key: str
    source: str
    """Data URI; empty if the picture cannot be read or would be too much."""


@dataclass(frozen=True, kw_only=True)
class ShownConfusion:
    """One confusion with some of its pictures."""

    confusion: Confusion
    pictures: tuple[Shown, ...]


class Thumbnails:
    """Makes data URIs until their bytes are used up."""

    def __init__(self, read: ReadPicture, most_bytes: int = MOST_BYTES) -> None:
        self._read = read
        self._left = most_bytes

    def of(self, task: str, key: str) -> Shown:
        """A sample's picture; unreadable ones have an empty source."""
        content = self._read(task, key) if self._left > 0 else None
        small = thumbnail(content, THUMBNAIL_PIXELS) if content else None
        if small is None or len(small) > self._left:
            return Shown(key=key, source="")
        self._left -= len(small)
        return Shown(key=key, source=data_uri(small, "image/jpeg"))


def shown_confusions(
    tasks: Sequence[TaskRecord], read: ReadPicture, most_bytes: int = MOST_BYTES
) -> dict[str, list[ShownConfusion]]:
    """Per task its most frequent confusions.

    All tasks' first confusions come first, so that a late task is not left without pictures.
    """
    thumbnails = Thumbnails(read, most_bytes)
    found: dict[str, list[ShownConfusion]] = {}
    for place in range(MOST_CONFUSIONS):
        for task in tasks:
            worst = sorted(task.confusions, key=lambda c: (-c.count, c.truth, c.predicted))
            for confusion in worst[place : place + 1]:
                pictures = tuple(
                    thumbnails.of(task.name, key) for key in confusion.keys[:MOST_PICTURES_EACH]
                )
                shown = ShownConfusion(confusion=confusion, pictures=pictures)
                found.setdefault(task.name, []).append(shown)
    return {task.name: found[task.name] for task in tasks if task.name in found}
