"""A host ledger under test: its clock, and what workers say to it."""

from diagonal_data.fetch_config import FetchConfig
from diagonal_data.host_ledger import (
    Answer,
    Ask,
    HostLedger,
    HostNews,
)

HOST = "pictures.test"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger_of(clock: Clock, **settings: object) -> HostLedger:
    config = FetchConfig(**{"max_per_host": 4, "max_per_second": 0.0, **settings})  # pyright: ignore[reportArgumentType]  # keywords of one dataclass
    return HostLedger(config, clock=clock)


def want(ledger: HostLedger, worker: str, count: int, held: int = 0) -> int:
    """How many slots of HOST the worker holds after asking."""
    ask = Ask(worker=worker, held={HOST: held} if held else {}, wanted={HOST: count})
    return held + len(ledger.ask(ask).granted.get(HOST, ()))


def give_back(ledger: HostLedger, worker: str, held: int, *waits: float) -> Answer:
    kept = {HOST: held} if held else {}
    return ledger.ask(Ask(worker=worker, held=kept, returned={HOST: waits}))


def news(ledger: HostLedger, **news: float) -> Answer:
    told = {HOST: HostNews(**news)}  # pyright: ignore[reportArgumentType]  # keywords of one dataclass
    return ledger.ask(Ask(worker="a", news=told, wanted={HOST: 1}))
