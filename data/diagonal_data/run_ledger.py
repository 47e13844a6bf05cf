"""What the workers of a run share: the host ledger, and which attempt at a shard may write it.

A worker that was given up (its node was cut off, its driver was killed) may live on for a while,
and come to the end of a shard that another attempt has begun or finished. The files of two attempts
must not be mixed: on a web that answers differently, offsets and hashes would not fit. So an
attempt says that it begins, only the last one that said so writes, and who cannot ask does not.
"""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import HostLedger
from diagonal_infra.errors import DiagonalError
from diagonal_infra.shared import Shared

ANSWER_SECONDS = 60.0


class SupersededError(DiagonalError):
    """Another attempt at the same shard has begun."""


class RunLedger(HostLedger):
    """The host ledger with a register of attempts."""

    def __init__(self, config: FetchConfig, opt_outs: Mapping[str, int] | None = None) -> None:
        """As the host ledger; no attempt has begun."""
        super().__init__(config, opt_outs)
        self._attempts: dict[str, str] = {}

    def begin_shard(self, shard: str, attempt: str) -> None:
        """Note the attempt as the last one at that shard."""
        self._attempts[shard] = attempt

    def may_write(self, shard: str, attempt: str) -> bool:
        """Whether no later attempt is known; a ledger started anew believes who asks first."""
        return self._attempts.setdefault(shard, attempt) == attempt


class Attempt:
    """One attempt at a shard, at the worker's end."""

    def __init__(self, ledger: Shared, shard: str) -> None:
        """Say that it begins."""
        self._ledger, self._shard, self._name = ledger, shard, uuid.uuid4().hex
        self._ask("begin_shard")

    def require_turn(self) -> None:
        """Return if this attempt may write now.

        Raises:
            SupersededError: another one has begun since.
        """
        if not self._ask("may_write"):
            raise SupersededError(f"shard {self._shard} is built by another attempt")

    def _ask(self, method: str) -> Any:
        async def ask() -> Any:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ledger.call(method, self._shard, self._name)

        return asyncio.run(ask())
