"""Where the time of one request goes: redis, queue, ledger. The edge begins a tally; whoever waits adds to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


@contextmanager
def spent(part: Part) -> Iterator[None]:
    """Add the time of a block."""
    started_ns = time.perf_counter_ns()
    try:
        yield
    finally:
        add(part, (time.perf_counter_ns() - started_ns) / 1e6)
