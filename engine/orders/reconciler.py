"""Asking the gateway what its webhook never told: every event that the ledger lacks is taken like a told one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from engine import limits
from engine.errors import Refusal, SeatlockError
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.orders.gateways.protocol import Gateway, PaymentEvent, SessionOutcome

log = structlog.get_logger()

TakeEvent = Callable[[PaymentEvent], Awaitable[Any]]

_LEASE = timedelta(milliseconds=limits.RECONCILE_LEASE_MS)
_PAUSE = timedelta(milliseconds=limits.RECONCILE_EVERY_MS)


def now_ms() -> int:
    """Give the Unix time in ms."""
    return time.time_ns() // 1_000_000


class Reconciler:
    """The worker's duty; however many workers there are, one of them asks at a time.

    Args:
        pool: of the ledger, which keeps how far the gateway was asked.
        gateway: whom to ask.
        take_event: what the webhook does with an event after it has checked the signature.
        clock: Unix time in ms.
    """

    def __init__(
        self, pool: asyncpg.Pool, gateway: Gateway, take_event: TakeEvent, clock: Callable[[], int] = now_ms
    ) -> None:
        self._pool = pool
        self._gateway = gateway
        self._take_event = take_event
        self._clock = clock

    async def reconcile_payments(self) -> int:
        """Ask if it is time to, and take what is new; the next round goes on where everything before was taken.

        Returns:
            0: what there is to do is never known before it was asked for.

        Raises:
            Unavailable: `gateway_unavailable`, `ledger_unavailable`.
        """
        since_ms = await self._take_turn()
        if since_ms is None:
            return 0
        # By our clock: one that is wrong by seconds only changes how long the webhook is waited for.
        until_ms = self._clock() - limits.RECONCILE_GRACE_MS
        listed = await self._gateway.list_outcomes(max(since_ms - limits.RECONCILE_OVERLAP_MS, 0))
        outcomes = [outcome for outcome in listed if outcome.at_ms <= until_ms]
        await self._end_turn(await self._take_new(outcomes, since_ms))
        return 0

    async def _take_turn(self) -> int | None:
        """Give how far the gateway was asked, if it is to be asked now, and by us."""
        async with transaction(self._pool) as connection:
            await connection.execute(query("insert_gateway_cursor"), self._gateway.name)
            since_ms: int | None = await connection.fetchval(query("take_gateway_cursor"), self._gateway.name, _LEASE)
        return since_ms

    async def _end_turn(self, asked_until_ms: int) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(query("move_gateway_cursor"), self._gateway.name, asked_until_ms, _PAUSE)

    async def _take_new(self, outcomes: Sequence[SessionOutcome], since_ms: int) -> int:
        """Take what the ledger lacks, oldest first, a few at once; give until when everything is taken."""
        names = [outcome.event.id for outcome in outcomes]
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_unknown_events"), self._gateway.name, names)
        unknown = {row["event_id"] for row in rows}
        new = [outcome for outcome in outcomes if outcome.event.id in unknown]
        until_ms = max((outcome.at_ms for outcome in outcomes), default=since_ms)
        for start in range(0, len(new), limits.RECONCILED_AT_ONCE_MAX):
            lot = new[start : start + limits.RECONCILED_AT_ONCE_MAX]
            taken = await asyncio.gather(*(self._take(outcome.event) for outcome in lot))
            until_ms = min([until_ms, *(outcome.at_ms for outcome, done in zip(lot, taken, strict=True) if not done)])
            if not any(taken):
                break  # whoever is to take them is away
        return until_ms

    async def _take(self, event: PaymentEvent) -> bool:
        """Take one event; False if it must be taken again."""
        told = {"event_id": event.id, "session_id": event.session_id, "type": event.type}
        try:
            await self._take_event(event)
        except Refusal as refusal:
            # It is in the ledger, and the duty that settles captures opens a case for it.
            log.warning("event_refused", **told, error=refusal.code)
        except SeatlockError as error:
            log.warning("event_not_reconciled", **told, error=error.code)
            return False
        except Exception:
            # A mistake of ours about one event must not keep the others.
            log.exception("event_not_reconciled", **told)
            return False
        else:
            log.info("event_reconciled", **told)
        return True
