"""Where the engine looks at a clock, draws a number or writes a log line, it meets the simulated world instead."""

import traceback
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import UUID

from engine import cancelling, duties, limits, worker
from engine.ledger import (
    database,
    drained,
    judge,
    lost_sales,
    outcomes,
    partitions,
    projector,
    reader,
    refunds,
    restore,
)
from engine.orders import bookings, payments, reconciler, ticket_refunds
from engine.orders import refunds as refund_duty
from tests.simulation.world.loop import OWNER
from tests.simulation.world.postgres import Driver
from tests.simulation.world.tables import moment_of

PARTITIONS = 2
"""Few partitions: what a reader does for each of 64 is the same, and takes longer."""
POLL_MS, BEAT_MS = 100, 2_000
"""Looking less often than the engine does saves time here and changes nothing."""
LOGGING = (
    cancelling, database, duties, lost_sales, outcomes, partitions, payments, projector, reader, reconciler,
    refund_duty, refunds, restore, ticket_refunds, worker,
)  # fmt: skip


class Log:
    """Takes log lines into the trace."""

    def __init__(self, world):
        self._world = world

    def info(self, event, **values):
        if self._world.tracing:
            self._world.note("log", event, *(f"{name}={value}" for name, value in values.items()))

    debug = warning = error = info

    def exception(self, event, **values):
        self._world.crashed(event, traceback.format_exc())


@contextmanager
def inside(world):
    """Replace clocks, chance, ids and logs of the engine while a story runs."""
    changes = [(module, "log", Log(world)) for module in LOGGING]
    changes += [
        (module, "time", world.clock) for module in (bookings, cancelling, drained, lost_sales, reader, restore)
    ]
    changes += [(module, "random", world.rng) for module in (partitions, refunds)]
    changes += [(module, "uuid4", lambda: UUID(int=world.rng.getrandbits(128))) for module in (payments, restore)]
    changes += [
        (judge, "datetime", SimpleNamespace(now=lambda _: moment_of(world.loop.unix_s()))),
        (reader, "asyncpg", Driver(world.postgres, OWNER.get)),
        (partitions, "PARTITIONS", PARTITIONS),
        (restore, "LOAD_POLL_MS", POLL_MS),
        (drained, "LOAD_POLL_MS", POLL_MS),
        (limits, "WORKER_BEAT_MS", BEAT_MS),
        (limits, "FACTS_READ_BLOCK_MS", BEAT_MS),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
