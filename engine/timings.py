"""Where the time of one request goes: redis, queue, ledger. The edge begins a tally; whoever waits adds to it."""

import time
from contextvars import ContextVar
from types import TracebackType
from typing import Literal

Part = Literal["redis", "queue", "ledger"]
Tally = dict[str, float]

_tally: ContextVar[Tally | None] = ContextVar("timings", default=None)


def begin() -> Tally:
    """Start the tally of this task: milliseconds by part, filled while the request runs."""
    tally: Tally = {}
    _tally.set(tally)
    return tally


def add(part: Part, ms: float) -> None:
    """Add to the tally of the present task; does nothing outside of a request."""
    tally = _tally.get()
    if tally is not None:
        tally[part] = tally.get(part, 0.0) + ms


class spent:  # noqa: N801 - read as a verb: `with spent("redis"):`
    """Add the time of a block. A class and not a generator: it stands on the path of every claim."""

    __slots__ = ("_part", "_started_ns")

    def __init__(self, part: Part) -> None:
        self._part = part

    def __enter__(self) -> None:
        self._started_ns = time.perf_counter_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        add(self._part, (time.perf_counter_ns() - self._started_ns) / 1e6)
