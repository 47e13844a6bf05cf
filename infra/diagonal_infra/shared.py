"""One object that all workers of a run talk to: in this process, or as a Ray actor.

`ray_cluster.map_unordered` makes the one or the other; the workers see no difference.
"""

import threading
import uuid
from typing import Any, Protocol

_turn = threading.Lock()
"""Of the calls of all `Here`: units may run in several threads, and handles are pickled."""


class Shared(Protocol):
    """A handle on the object; copies of a handle share its `name`, and no others do."""

    name: str

    async def call(self, method: str, *arguments: Any) -> Any:
        """The result of the object's method; one call at a time, in any order."""
        ...


class Here:
    """The object is in this process."""

    def __init__(self, target: object) -> None:
        self.name = uuid.uuid4().hex
        self._target = target

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call it."""
        with _turn:
            return getattr(self._target, method)(*arguments)
